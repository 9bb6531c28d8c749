"""Takes the programs out of a guide: `programs.py GUIDE.md FOLDER` writes guide_1.cpp, guide_2.cpp, ... and prints their paths as
a CMake list. For the tests they listen on any port, and are less patient."""
# SPDX-License-Identifier: MIT

import pathlib
import re
import sys

guide, folder = map(pathlib.Path, sys.argv[1:])
paths = []
for number, text in enumerate(re.findall(r"^```cpp\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL), 1):
    text = text.replace(", 7000)", ", 0)").replace("patience = 30s", "patience = 300ms")
    path = folder / f"guide_{number}.cpp"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    paths.append(str(path))
print(";".join(paths), end="")
