import pytest

from shmastra_cloud.studio.patches import patched

# As the bundle's main script has them.
ICON = b'["netlify","mastra"].includes(l)||s||!e?iZ[u]:a.jsx("img",{src:`https://models.dev/logos/${l}.svg`})'
THREAD = (
    b'wt({queryKey:["memory"],queryFn:()=>n.getMemoryThread({threadId:e,agentId:t}).get({requestContext:r}),'
    b'enabled:!!e&&e!=="new"&&!!t})'
)
MERGE = (
    b"const Ee=new Map(pe.formattedMessages.map(je=>[je.id,je]));"
    b"E(je=>{const Ke=je.filter(ye=>Ee.get(ye.id)!==ye),"
    b"ze=new Map(Ke.map(ye=>[ye.id,ye])),ce=new Set(ve.map(ye=>ye.id));"
    b"return[...ve.map(ye=>ze.get(ye.id)??ye),...Ke.filter(ye=>!ce.has(ye.id))]})"
)


def test_icons_come_from_the_bundle() -> None:
    assert patched(ICON).startswith(b"!0||s||!e?iZ[u]:")


def test_a_thread_is_looked_for_among_those_that_exist() -> None:
    new = patched(THREAD)
    assert b"n.listMemoryThreads({agentId:t,requestContext:r}).then(" in new
    assert b"?n.getMemoryThread({threadId:e,agentId:t}).get({requestContext:r}):null),enabled:" in new
    assert b"one.id===e" in new


def test_a_message_that_was_read_back_is_shown_once() -> None:
    new = patched(MERGE)
    assert new.startswith(MERGE[: MERGE.index(b"!ce.has")] + b"!ce.has(ye.id)&&!(")
    assert b"ve.some(same=>" in new
    assert b"!Ee.has(same.id)" in new
    assert new.count(b"(") == new.count(b")")
    assert b"\\" not in new


@pytest.mark.parametrize("made", [b'return new Function("")', b'const e=Function;return new e("")'])
def test_nobody_asks_whether_code_can_be_made_of_text(made: bytes) -> None:
    script = b"if(x)return!1;try{" + made + b",!0}catch{return!1}});function pq(e){"
    assert patched(script) == b"if(x)return!1;return!1});function pq(e){"


def test_anything_else_is_left_alone() -> None:
    script = b"n.getMemoryThread({threadId:e,agentId:t}).update({title:x})"
    assert patched(script) == script
