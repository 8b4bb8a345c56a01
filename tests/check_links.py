#!/usr/bin/env python3
"""Links of documents: every relative link of a Markdown file leads to a file, every #anchor to a heading of it, and every
`path` of a test, policy or source that is named in backquotes exists. Prints what does not, exits 1 then.
usage: check_links.py FILE..."""
import os
import re
import sys

link = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
named = re.compile(r"`((?:tests|user|bpf|include|policies|packaging|docs|gpu|mk)/[A-Za-z0-9_./-]+\.(?:sh|c|h|py|md|def|yaml|json|mjs|js))`")


def slug(heading):
    """As GitHub makes it: lower case, no punctuation, blanks to dashes."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def body(path):
    """The text without fenced and indented blocks."""
    out, fenced = [], False
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.lstrip().startswith("```"):
                fenced = not fenced
                continue
            if not fenced and not line.startswith("    "):
                out.append(line)
    return "".join(out)


def anchors(path):
    return {slug(m.group(1)) for m in re.finditer(r"^#+ +(.*)$", body(path), re.M)}


def check(path):
    bad, text, here = [], body(path), os.path.dirname(path)
    for m in link.finditer(text):
        target = m.group(1) or m.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(here, file)) if file else path
        if not os.path.exists(full):
            bad.append(f"{path}: {target}: no such file")
        elif anchor and full.endswith(".md") and anchor not in anchors(full):
            bad.append(f"{path}: {target}: no such heading")
    for m in named.finditer(text):
        if not os.path.exists(m.group(1)):
            bad.append(f"{path}: `{m.group(1)}`: no such file")
    return bad


findings = [b for f in sys.argv[1:] for b in check(f)]
print("\n".join(findings) if findings else f"{len(sys.argv) - 1} documents: all links lead somewhere")
sys.exit(1 if findings else 0)
