"""Where Meltemi stands alone, or refuses what the strict reader takes: each class with its reason. An entry is
(whether Meltemi accepts, pattern of a mutation's label or of the strict reader's error, reason)."""
import re

import strict

LONE = [
    (False, r"^error: bare LF$|^error: bare CR or LF",
     "RFC 9112 §2.2 lets a recipient take a lone LF for a line's end and does not ask it to: who does, and who does not, read two messages "
     "apart (data-plane.md §7.1 #2). The same for chunk lines (§7.1: size and data must end in CRLF)"),
    (False, r"^error: request line", "RFC 9112 §3: exactly one SP between the three parts; its leniency (any whitespace) is optional and a smuggling risk"),
    (False, r"^error: host$", "RFC 9112 §3.2: Host is uri-host [ \":\" port]; userinfo has no place in it (RFC 9110 §4.2.4), a server MUST answer 400"),
    (False, r"^error: content-length$", "RFC 9112 §6.3: one plain number; longer than 18 digits is no length of anything, and who reads it otherwise overflows"),
    (False, r"^error: transfer-encoding$", "RFC 9112 §6.1: chunked once and last, nothing beside it"),
    (False, r"^error: chunk size", "RFC 9112 §7.1: 1*HEXDIG, no whitespace behind it (§7.1.1 allows BWS only before ';', which is a known way "
     "to smuggle), no more digits than a body can need"),
    (False, r"^error: chunk's end", "RFC 9112 §7.1: chunk-data CRLF"),
    (False, r"^error: field name|^error: field value", "RFC 9110 §5.1, §5.5, RFC 9112 §5.2: no obs-fold, no control characters; in trailers as in heads"),
    (False, r"^extension:huge", "chunk extensions have a limit over the whole message (ChunkedDecoder::kExtensionBytesMax): they carry nothing"),
    (False, r"^target:(high|not-utf8)", "RFC 3986 §2: a URI is ASCII; Envoy and HAProxy agree, nginx does not"),
    # Alone only beside a second mutation, which one of the others refuses for a reason of its own.
    (True, r"^target:absolute-(other-host|query)", "RFC 9112 §3.2.2: the target's authority stands, a received Host is ignored; an empty path is /"),
    (True, r"^host:'Host: h:(80:80|x|9999)", "ports of a Host that no route asks for are the origin's to judge"),
    (False, r"^target:absolute-bare", "RFC 9112 §3.2.4: OPTIONS without a path asks for *, which no route by prefix / matches"),
    (True, r"^fact: method", "RFC 9110 §9.1, §16.1: any token is a method; Envoy and nginx know a list"),
    (False, r"^trailer:.*(100007|3200)$", "trailers have limits (BodyReader::kTrailerBytesMax, header_fields_max)"),
]

# What the strict reader takes and Meltemi does not.
REFUSED = [
    (False, r"^target:huge|^field:.*200003$|^trailer:.*100007", "limits of bytes: 60 KiB a head (Envoy's default: 431), 8 KiB of trailers"),
    (False, r"^field:'X-0.*3489$|^trailer:.*3200$", "limit of fields: 100 (Envoy's default: 431)"),
    (False, r"^target:fragment", "RFC 9112 §3.2 knows no fragment; 400 as Envoy does, unless http_reject_path_with_fragment is off as in Istio"),
    (False, r"^field:'Connection: host", "RFC 9110 §7.6.1: a field meant for all recipients is no connection option; Envoy refuses it too"),
    (False, r"^field:'Connection: x0,", "more options in Connection than any use needs: each costs a search"),
    (False, r"^extension:huge", "chunk extensions have a limit"),
    (False, r"^version:'HTTP/1.0'", "426 unless http_protocol_options.accept_http_10, as Envoy does"),
    (False, r"^fact: empty host", "RFC 9110 §4.2.1: an http URI with an empty host MUST be rejected"),
    (False, r"^trailer:b'Content-Length", "a field of framing among trailers is dropped when it is well-formed (RFC 9110 §6.5.1)"),
    (False, r"^target:absolute-bare", "RFC 9112 §3.2.4: OPTIONS without a path asks for *, which no route by prefix / matches"),
    (False, r"^connect:", "no route matches CONNECT here, and bytes behind a refused one belong to nobody (data-plane.md §7.1 #5)"),
    (False, r"^fact: upgrade", "403 unless upgrade_configs names it; bytes behind a refused upgrade belong to nobody (§7.1 #5)"),
]


METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"PATCH")


def facts(outcome):
    """What mangled bytes may come to as well as a mutation."""
    for message in outcome.reference.messages:
        if message.method not in METHODS:
            yield "fact: method of nobody's list"
        if b"" in message.get(b"host"):
            yield "fact: empty host"
        if message.get(b"upgrade") and b"upgrade" in strict.options_of(message):
            yield "fact: upgrade"


def reason(table, accepts, outcome):
    texts = [*outcome.case.labels, *facts(outcome), f"error: {outcome.reference.error}"]
    for own, pattern, why in table:
        if own == accepts and any(re.search(pattern, text, re.S) for text in texts):
            return why
    return None
