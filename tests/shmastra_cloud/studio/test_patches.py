from shmastra_cloud.studio.patches import patched

# As the bundle's main script has them.
ICON = b'["netlify","mastra"].includes(l)||s||!e?iZ[u]:a.jsx("img",{src:`https://models.dev/logos/${l}.svg`})'
THREAD = (
    b'wt({queryKey:["memory"],queryFn:()=>n.getMemoryThread({threadId:e,agentId:t}).get({requestContext:r}),'
    b'enabled:!!e&&e!=="new"&&!!t})'
)


def test_icons_come_from_the_bundle() -> None:
    assert patched(ICON).startswith(b"!0||s||!e?iZ[u]:")


def test_a_thread_is_looked_for_among_those_that_exist() -> None:
    new = patched(THREAD)
    assert b"n.listMemoryThreads({agentId:t,requestContext:r}).then(" in new
    assert b"?n.getMemoryThread({threadId:e,agentId:t}).get({requestContext:r}):null),enabled:" in new
    assert b"one.id===e" in new


def test_anything_else_is_left_alone() -> None:
    script = b"n.getMemoryThread({threadId:e,agentId:t}).update({title:x})"
    assert patched(script) == script
