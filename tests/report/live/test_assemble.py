"""Tests of the section, style and script of the live network."""

import re
from pathlib import Path

import pytest

from tasks.report.live import assemble


def test_script_is_one_module_without_imports() -> None:
    script = assemble.script()
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:const|class|function) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names)), "modules share the names at their top"
    sources = {path.name for path in Path(assemble.HERE).glob("*.js")}
    joined: list[str] = []
    assemble.joined("main.js", joined)
    assert set(joined) == sources, "each file is used"


@pytest.mark.parametrize(
    "line", ["export default 1;", 'import a from "./b.js";', 'const a = "</script>";']
)
def test_script_that_cannot_be_joined_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.js").write_text(line + "\n")
    monkeypatch.setattr(assemble, "HERE", tmp_path)
    with pytest.raises(ValueError, match=r"odd\.js: cannot be joined"):
        assemble.joined("odd.js", [])


def test_content_security_policy_lists_a_digest_for_each_text() -> None:
    policy = assemble.content_security_policy(["", "a"], ["b"])
    empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    assert f"style-src {empty} 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" in policy
    assert "unsafe" not in policy
    assert "script-src 'none'" in assemble.content_security_policy([], [])
