"""Mutated requests and pipelines through Meltemi, HAProxy, nginx and Envoy to a strict origin that records what arrives.

MELTEMI_DIFFERENTIAL_SEED repeats a run, MELTEMI_DIFFERENTIAL_CASES makes it longer, MELTEMI_DIFFERENTIAL_CASE shows one case."""
import asyncio
import os
import random

import pytest

import explained
import peers
import verdicts
from exchange import Run, start_origins
from origin import tag_of

SEED = int(os.environ.get("MELTEMI_DIFFERENTIAL_SEED") or random.randrange(1 << 32))
CASES = int(os.environ.get("MELTEMI_DIFFERENTIAL_CASES") or 2000)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    print(f"MELTEMI_DIFFERENTIAL_SEED={SEED}")
    return asyncio.run(everything(tmp_path_factory.mktemp("differential")))


async def everything(directory):
    origins = await start_origins(peers.MAKERS)
    proxies = {}
    try:
        for name, make in peers.MAKERS.items():
            proxies[name] = await asyncio.to_thread(make, directory, origins[name].port)
        whole = Run(proxies, origins)
        await whole.all(SEED, CASES)
        await asyncio.sleep(0.5)  # what is still on its way to the origins arrives
        await judge_again(whole)
        proxies["meltemi"].program.assert_runs()
        return whole
    finally:
        for proxy in proxies.values():
            await asyncio.to_thread(proxy.close)
        for where in origins.values():
            where.server.close()


def is_open(whole, outcome):
    return "meltemi" in outcome.hung or unexplained(whole, outcome) or refused(whole, outcome)


async def judge_again(whole):
    whole.wrong = {outcome: found for outcome in whole.outcomes if (found := list(verdicts.judge(outcome, whole.origins["meltemi"])))}
    for _ in range(2):
        for outcome in [outcome for outcome in whole.outcomes if outcome not in whole.wrong and is_open(whole, outcome)][:20]:
            await whole.again(outcome)
        await asyncio.sleep(0.2)


def unexplained(whole, outcome):
    return [f"{'accepts' if own else 'refuses'} {tag.decode()} alone" for tag, own in whole.lone(outcome).items()
            if not explained.reason(explained.LONE, own, outcome)]


def is_early(message):
    return tag_of(message)[1] == b"early" and message.body


def refused(whole, outcome):
    """The first message that the strict reader takes and Meltemi does not."""
    for message in outcome.reference.messages:
        tag = tag_of(message)[0]
        if not message.complete or tag not in outcome.case.tags:
            break
        if is_early(message) and not message.closes:
            break  # answered before its body was there: whether the connection stays is a matter of timing (data-plane.md §2.8)
        if not whole.accepted("meltemi", tag):
            return [] if explained.reason(explained.REFUSED, False, outcome) else [f"refuses {tag.decode()}, which is valid"]
    return []


def describe(outcome, problems):
    case = outcome.case
    text = [f"case {case.number} {case.labels}: {'; '.join(problems)}", f"  reference: {len(outcome.reference.messages)} messages, error {outcome.reference.error}",
            f"  sent {case.data[:700]!r}"]
    return "\n".join(text + [f"  {name}: {answer[:160]!r}" for name, answer in outcome.answers.items()])


def fail_on(found):
    if found:
        shown = "\n".join(describe(outcome, problems) for outcome, problems in list(found.items())[:200])
        pytest.fail(f"seed {SEED}: {len(found)} of {CASES} cases\n{shown}", pytrace=False)


def test_every_message_is_forwarded_as_itself_or_not_at_all(run):
    fail_on({outcome: problems for outcome, problems in run.wrong.items() if problems})


def test_no_upstream_connection_loses_its_framing(run):
    where = run.origins["meltemi"]
    assert not where.errors, f"seed {SEED}: {where.errors[:5]}"
    known = [(message.method, verdicts.path_of(message)) for outcome in run.outcomes for message in outcome.reference.messages if tag_of(message)[0] is None]
    strangers = [message for message in where.orphans if (message.method, verdicts.path_of(message)) not in known]
    strangers += [tag for tag in where.messages if not tag.split(b".")[0].isdigit() or int(tag.split(b".")[0]) >= CASES]
    assert not strangers, f"seed {SEED}: nobody sent {strangers[:5]}"


def test_what_is_valid_is_forwarded(run):
    fail_on({outcome: problems for outcome in run.outcomes if (problems := refused(run, outcome))})


def test_each_lone_disagreement_is_explained(run):
    fail_on({outcome: problems for outcome in run.outcomes if (problems := unexplained(run, outcome))})


def test_nothing_hangs(run):
    fail_on({outcome: ["hangs"] for outcome in run.outcomes if "meltemi" in outcome.hung})
