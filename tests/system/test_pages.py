"""How a page of the documentation is read before it is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pages import CTRL_C, filled_in, missing, steps

PAGE = """
```sh
./just up
```

Save as `a.py`:

```python
print(1)
```

<!-- run as: ./just demo --seconds 1 -->
```sh
./just demo
```

It says

```text
all is well
```

Press Ctrl-C. <!-- not a step -->

<!-- Ctrl-C -->

```python
import this
```

Save it as `b.py` and run it.

<!-- not run: needs another machine -->
```sh
ssh there
```

```
a picture
```
"""


def test_a_page_is_read_in_its_order(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text(PAGE)
    up, saved, demo, ctrl_c, below, elsewhere, picture = steps(page)
    assert (up.language, up.file) == ("sh", "")
    assert (saved.language, saved.file, saved.text) == ("python", "a.py", "print(1)\n")
    assert (demo.text, demo.prints) == ("./just demo --seconds 1", "all is well\n")
    assert ctrl_c.language == CTRL_C
    assert below.file == "b.py"
    assert elsewhere.not_run == "needs another machine"
    assert picture.language == ""


SAID = "follow it: ./just trace 1064hk7cvadvz4jbmme\ngame castle: nats://game_castle:p-w@127.0.0.1:20632\n"


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("./just trace DECISION", "./just trace 1064hk7cvadvz4jbmme"),
        ("play 'nats://game_castle:…' twice", "play 'nats://game_castle:p-w@127.0.0.1:20632' twice"),
        ("play 'nats://game_tower:…'", "play 'nats://game_tower:…'"),
        ("… and so on", "… and so on"),
    ],
)
def test_what_was_printed_is_filled_in(written: str, typed: str) -> None:
    assert filled_in(written, SAID) == typed


OUTPUT = "ready after 0.3 s\n  tier      rules   1,204\n0 lost\nthe end\n"


@pytest.mark.parametrize(
    ("prints", "first_missing"),
    [
        ("ready after 12.5 s\nthe end", ""),
        ("tier rules 60\n0 lost", ""),
        ("…\nthe …", ""),
        ("7 lost", "7 lost"),
        ("tier rules 0", "tier rules 0"),
        ("the end\nready after 1 s", "ready after 1 s"),
        ("the", "the"),
    ],
)
def test_what_is_printed_is_compared_loosely(prints: str, first_missing: str) -> None:
    assert missing(prints, OUTPUT) == first_missing
