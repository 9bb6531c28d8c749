"""Builds and runs a project that uses heddle: installed (static or shared) through CMake and pkg-config, or added as
a subdirectory. Everything happens in a temporary folder."""
# SPDX-License-Identifier: MIT

import argparse
import pathlib
import shutil
import tempfile

import blackbox as bb
import plugins
from commands import tell

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = {"whole": "echoed through heddle\n", "only_selector": "selected\n", "tested": "tested with heddle\n",
            "instances": "every template\n"}
# What a project may be strict about; with pkg-config and add_subdirectory headers are not system headers.
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wold-style-cast",
          "-Wnon-virtual-dtor", "-Werror"]
PACKAGES = {"tested": "heddle-testing"}  # for pkg-config; heddle for the others


def strict(compiler):
    """The warnings that are errors to the consumer; -Wuseless-cast is GCC's alone."""
    return STRICT + ([] if "clang" in pathlib.Path(compiler).name else ["-Wuseless-cast"])


def run_programs(folder, env=None):
    for program, words in PROGRAMS.items():
        out = tell(folder / program, env=env)
        bb.check(out == words, f"{program} printed {out!r}, not {words!r}")


def consume_with_cmake(work, compiler, *options):
    build = work / "consumer"
    tell("cmake", "-S", HERE / "consumer", "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={compiler}",
         "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_CXX_FLAGS={' '.join(strict(compiler))}", *options)
    tell("cmake", "--build", build, "-j", "2")
    run_programs(build)
    return build


def install(kind, options, work, prefix):
    """Installs heddle, built before or built here; returns the folder it was built in."""
    build = options.built
    if kind == "shared" or not build:
        build = work / "heddle"
        tell("cmake", "-S", options.source, "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={options.compiler}",
             f"-DBUILD_SHARED_LIBS={'ON' if kind == 'shared' else 'OFF'}", "-DHEDDLE_EXAMPLES=OFF",
             *(("-DCMAKE_BUILD_TYPE=Release", "-DHEDDLE_WERROR=ON") if kind == "shared"  # -O3 is CMake's choice, and warns of more
               else ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0")))
        tell("cmake", "--build", build, "-j", "2")
    tell("cmake", "--install", build, "--prefix", prefix)
    return build


def installed(kind, options, work):
    """heddle is installed under a prefix, and nothing there remembers where it was built."""
    prefix = work / "prefix"
    build = install(kind, options, work, prefix)
    for pattern in ("**/*.cmake", "**/*.pc", "**/*.hpp"):
        for file in prefix.glob(pattern):
            text = file.read_text()
            for place in (str(build), str(options.source)):
                bb.check(place not in text, f"{file.relative_to(prefix)} names {place}")
    libraries = {path.name for path in prefix.glob("**/libheddle_*")}
    for layer in ("selector", "runtime", "io", "testing"):
        wanted = f"libheddle_{layer}." + ("so" if kind == "shared" else "a")
        bb.check(wanted in libraries, f"{wanted} is not among {sorted(libraries)}")
    return prefix


def with_pkg_config(work, prefix, compiler):
    """The consumer's programs are built by hand with what pkg-config says."""
    folder = work / "by_hand"
    folder.mkdir()
    where = [str(path.parent) for path in prefix.glob("**/heddle.pc")]
    bb.check(len(where) == 1, f"heddle.pc is in {where}")
    env = {"PKG_CONFIG_PATH": where[0]}
    for program in PROGRAMS:
        flags = tell("pkg-config", "--cflags", "--libs", PACKAGES.get(program, "heddle"), env=env).split()
        tell(compiler, "-std=c++20", "-O0", *strict(compiler), HERE / "consumer" / f"{program}.cpp", *flags,
             "-o", folder / program)
    run_programs(folder, {"LD_LIBRARY_PATH": str(pathlib.Path(where[0]).parent)})


def as_plugin(work, prefix, compiler):
    """A library that uses heddle's is loaded by Python."""
    where = next(prefix.glob("**/heddle.pc")).parent
    flags = tell("pkg-config", "--cflags", "--libs", "heddle", env={"PKG_CONFIG_PATH": str(where)}).split()
    plugin = work / "libplugin.so"
    tell(compiler, "-std=c++20", "-O0", "-fPIC", "-shared", "-DCOPY=only_copy", HERE / "copies/copy.cpp", *flags, "-o", plugin)
    plugins.check_static_tls(*prefix.glob("**/libheddle_*.so"))
    plugins.load_in_python(plugin, env={"LD_LIBRARY_PATH": str(where.parent)})


def whole_story(kind, options, work):
    prefix = installed(kind, options, work)
    moved = prefix.with_name("elsewhere")  # a package can be unpacked where it was not installed
    shutil.copytree(prefix, moved, symlinks=True)
    consume_with_cmake(work, options.compiler, f"-DCMAKE_PREFIX_PATH={moved}")
    with_pkg_config(work, prefix, options.compiler)
    if kind == "shared":
        as_plugin(work, prefix, options.compiler)


def as_subdirectory(options, work):
    build = consume_with_cmake(work, options.compiler, f"-DHEDDLE_SUBDIRECTORY={options.source}")
    built = [path.name for path in (build / "heddle").glob("**/*") if path.name in ("echo_server", "test_io", "load")]
    bb.check(not built, f"a project that embeds heddle had to build {built}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["static", "shared", "subdirectory"])
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--built", type=pathlib.Path)
    parser.add_argument("--compiler", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if options.kind == "subdirectory":
            bb.run([("a project that adds heddle as a subdirectory", lambda: as_subdirectory(options, work))], 290)
        else:
            bb.run([(f"a project that finds heddle installed, {options.kind}",
                     lambda: whole_story(options.kind, options, work))], 290)


if __name__ == "__main__":
    main()
