"""Certificates made on the spot with the openssl command: a CA in a directory of its own, leaves, revocation lists."""
import datetime
import pathlib
import subprocess

CONFIG = """
[ca]
default_ca = here
[here]
database = {dir}/index.txt
new_certs_dir = {dir}
serial = {dir}/serial
crlnumber = {dir}/crlnumber
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
copy_extensions = none
unique_subject = no
crl_extensions = crl
[any]
commonName = optional
organizationName = optional
[crl]
authorityKeyIdentifier = keyid
"""
KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def openssl(*words, **kwargs):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def stamp(days):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y%m%d%H%M%SZ")


class Pair:
    """A certificate (with what chains it) and its key, in files."""

    def __init__(self, chain, key):
        self.chain, self.key = pathlib.Path(chain), pathlib.Path(key)

    def pem(self):
        return self.chain.read_text()

    def fingerprint(self):
        return openssl("x509", "-in", self.chain, "-noout", "-fingerprint", "-sha256").split("=")[1].strip()

    def key_hash(self):
        """SHA-256 of the public key, base64."""
        script = f"openssl x509 -in {self.chain} -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64"
        return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.strip()

    def envoy(self):
        """As a TlsCertificate."""
        return {"certificate_chain": {"filename": str(self.chain)}, "private_key": {"filename": str(self.key)}}


class Authority:
    def __init__(self, directory, name="root", parent=None):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir()
        self.count, self.parent = 0, parent
        for file, text in [("index.txt", ""), ("index.txt.attr", "unique_subject = no\n"), ("serial", "1000\n"), ("crlnumber", "01\n"),
                           ("openssl.cnf", CONFIG.format(dir=self.directory))]:
            (self.directory / file).write_text(text)
        self.certificate, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
        if parent is None:
            openssl("req", "-x509", "-new", "-newkey", *KEYS["ec"], "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", 30,
                    "-subj", f"/O=Meltemi tests/CN={name}", *[word for line in extensions.split() for word in ("-addext", line)])
        else:
            pair = parent.issue(name, extensions=extensions)
            self.key.write_text(pair.key.read_text())
            self.certificate.write_text(parent.leaf_of(pair))

    def pem(self):
        return self.certificate.read_text()

    @staticmethod
    def leaf_of(pair):
        return pair.pem().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"

    def issue(self, name, san=None, key="ec", start=-1, end=29, usage="serverAuth,clientAuth", extensions=None, key_usage=None):
        """`san` in openssl's notation ("DNS:a,URI:spiffe://b"); `start` and `end` in days from now."""
        self.count += 1
        stem = self.directory / f"{self.count}"
        if extensions is None:
            lines = ["basicConstraints=CA:FALSE", "subjectKeyIdentifier=hash"]
            lines += [f"subjectAltName={san}"] if san else []
            lines += [f"extendedKeyUsage={usage}"] if usage else []
            lines += [f"keyUsage={key_usage}"] if key_usage else []
            extensions = "\n".join(lines) + "\n"
        files = {suffix: stem.with_suffix(suffix) for suffix in (".key", ".csr", ".ext", ".pem")}
        files[".ext"].write_text(extensions)
        openssl("req", "-new", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={name}", "-keyout", files[".key"], "-out", files[".csr"])
        openssl("ca", "-config", self.directory / "openssl.cnf", "-batch", "-notext", "-in", files[".csr"], "-out", files[".pem"],
                "-startdate", stamp(start), "-enddate", stamp(end), "-extfile", files[".ext"])
        if self.parent is not None:
            files[".pem"].write_text(files[".pem"].read_text() + self.pem())
        return Pair(files[".pem"], files[".key"])

    def revoke(self, pair):
        openssl("ca", "-config", self.directory / "openssl.cnf", "-revoke", pair.chain)

    def crl(self):
        return openssl("ca", "-config", self.directory / "openssl.cnf", "-gencrl")
