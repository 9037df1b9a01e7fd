"""What must hold of Meltemi for one case, by the strict reader's view of what was sent."""
import strict
from exchange import answers_in
from origin import OriginConnection, tag_of

# Fields a proxy adds or writes anew.
OWN_FIELDS = {b"x-forwarded-proto", b"x-forwarded-for", b"x-request-id", b"x-envoy-expected-rq-timeout-ms", b"host", b"content-length",
              b"transfer-encoding", b"connection", b"te", b"upgrade", b"x-envoy-original-path", b"x-envoy-internal"}


def path_of(message):
    """The target as a proxy forwards it: in origin-form; a fragment is never sent on."""
    absolute = strict.ABSOLUTE.match(message.target)
    if not absolute or message.method == b"CONNECT":
        return message.target
    rest = absolute[2] or b""
    return rest if rest.startswith(b"/") else (b"*" if message.method == b"OPTIONS" and not rest else b"/" + rest)


def judge_message(sent, got):
    if got.method != sent.method or path_of(got) not in (path_of(sent), path_of(sent).partition(b"#")[0]):
        yield f"forwarded as {got.method!r} {got.target[:80]!r}, sent as {sent.method!r} {sent.target[:80]!r}"
    if got.complete and not sent.complete:
        yield "forwarded in full though it never was complete"
    if (got.complete and got.body != sent.body) or not sent.body.startswith(got.body):
        yield f"body became {bytes(got.body[:80])!r} of {bytes(sent.body[:80])!r}"
    known = set(sent.fields) | set(sent.trailers)
    for name, value in got.fields + got.trailers:
        if name not in OWN_FIELDS and (name, value) not in known:
            yield f"field {name!r}: {value[:60]!r} was never sent"


def judge_forwarded(outcome, where):
    sent = outcome.reference.messages
    tags = [tag_of(message)[0] for message in sent]
    for tag in outcome.case.tags:
        got = where.messages.get(tag, [])
        if len(got) > tags.count(tag):
            yield f"{tag.decode()} was forwarded {len(got)} times, sent {tags.count(tag)} times"
            continue
        originals = [message for message, its in zip(sent, tags) if its == tag]
        for original, message in zip(originals, got):
            yield from judge_message(original, message)


def judge_answers(outcome, where):
    sent = outcome.reference.messages
    try:
        answers = answers_in(outcome.answers["meltemi"], [message.method for message in sent])
    except strict.Malformed as problem:
        yield f"answers are malformed: {problem}"
        return
    if len(answers) > len(sent) + 1:
        yield f"{len(answers)} answers to {len(sent)} messages"
    for n, answer in enumerate(answers):
        tag = tag_of(sent[n])[0] if n < len(sent) else None
        if answer.is_from_origin:
            if answer.fields[b"x-answer"] != (tag or b"-"):
                yield f"answer {n} is that to {answer.fields[b'x-answer']!r}, not to {tag!r}"
        elif tag is not None and any(OriginConnection.may_answer(message) and message.complete for message in where.messages.get(tag, ())):
            yield f"answered {answer.status} to {tag!r} and forwarded it"
    if outcome.reference.error and answers and answers[-1].is_from_origin and len(answers) > len(sent):
        yield "an answer of the origin to what is malformed"


def judge(outcome, where):
    """Sentences on what is wrong."""
    yield from judge_forwarded(outcome, where)
    yield from judge_answers(outcome, where)
    if "meltemi" in outcome.hung:
        yield "hangs"
