"""heddle with optional libraries that this machine may not have: their headers are no reason for a warning."""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import tempfile

import blackbox as bb
from commands import tell


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    options = parser.parse_args()

    def libkqueue():
        """Found under .../include/kqueue, as Debian's libkqueue-dev has it; here it is the tests' double."""
        with tempfile.TemporaryDirectory() as folder:
            build = pathlib.Path(folder)
            tell("cmake", "-S", options.source, "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={options.compiler}",
                 "-DHEDDLE_WERROR=ON", "-DHEDDLE_EXAMPLES=OFF", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0",
                 f"-Dheddle_include_kqueue={options.source}/tests/support/doubles", "-Dheddle_lib_kqueue=kqueue")
            out = tell("cmake", "--build", build, "-v", "--target",
                       "selector/CMakeFiles/heddle_selector.dir/mechanisms/kqueue_selector.cpp.o")
            bb.check("HEDDLE_HAVE_KQUEUE" in out, "the selector is compiled without kqueue:\n" + out)

    bb.run([("with libkqueue", libkqueue)], 110)


main()
