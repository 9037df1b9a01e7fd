"""What Istio's agent does beside an Envoy: gets a certificate from the control plane and serves it as secrets."""
import concurrent.futures
import subprocess

import grpc
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc


def varint(number):
    out = b""
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def text_field(number, text):
    return varint(number << 3 | 2) + varint(len(text)) + text


def text_fields(message):
    """The values of all length-delimited fields."""
    at, found = 0, []
    while at < len(message):
        assert message[at] & 7 == 2, "only texts are expected"
        at, length, shift = at + 1, 0, 0
        while True:
            byte = message[at]
            length |= (byte & 0x7f) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                break
        found.append(message[at:at + length])
        at += length
    return found


class Identity:
    """A key and what the control plane certified of it."""

    def __init__(self, port, token, root_certificate, directory, lifetime_s=3600):
        key, csr = directory / "key.pem", directory / "csr.pem"
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
                        "-keyout", key, "-out", csr], check=True, capture_output=True)
        credentials = grpc.ssl_channel_credentials(root_certificate.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials,
                                 [("grpc.ssl_target_name_override", "istiod.istio-system.svc")]) as channel:
            create = channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate",
                                         request_serializer=bytes, response_deserializer=bytes)
            request = text_field(1, csr.read_bytes()) + varint(3 << 3) + varint(lifetime_s)
            answer = create(request, metadata=[("authorization", f"Bearer {token}")], timeout=15)
        self.chain = text_fields(answer)
        self.key = key.read_bytes()
        self.root = root_certificate.read_bytes()


class SecretServer(sds_pb2_grpc.SecretDiscoveryServiceServicer):
    def __init__(self, identity):
        self.identity = identity
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64))
        sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def secret(self, name):
        secret = secret_pb2.Secret(name=name)
        if name == "ROOTCA":
            secret.validation_context.trusted_ca.inline_bytes = self.identity.root
        else:
            secret.tls_certificate.certificate_chain.inline_bytes = b"".join(self.identity.chain)
            secret.tls_certificate.private_key.inline_bytes = self.identity.key
        return secret

    def StreamSecrets(self, requests, context):
        for request in requests:
            if request.version_info:
                continue  # an acknowledgement
            answer = discovery_pb2.DiscoveryResponse(version_info="1", nonce="1", type_url=request.type_url)
            for name in request.resource_names:
                answer.resources.add().Pack(self.secret(name))
            yield answer

    def close(self):
        self.server.stop(0)
