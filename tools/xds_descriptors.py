#!/usr/bin/env python3
"""Writes the Envoy API's descriptors as FileDescriptorSets.

The wheel `xds-protos` carries each .proto file only in serialized form, inside generated Python.
This script takes the bytes out without importing anything, puts libprotobuf's own well-known types
first, orders files so that imports come before their users, and writes

  --all FILE      every file of the wheel (EnvoyFilter patches, config dumps)
  --closure FILE  the roots given and what they import
  --list FILE     the names in the closure that need generated code, one per line
"""
import argparse
import ast
import subprocess
import tempfile
import zipfile

from descriptor_wire import file_name_and_imports, as_file_set


def wheel_files(wheel):
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith("_pb2.py"):
                continue
            for node in ast.walk(ast.parse(archive.read(name))):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                    data = ast.literal_eval(node.args[0])
                    files[file_name_and_imports(data)[0]] = data
    return files


def well_known_files(protoc):
    names = ["any", "api", "descriptor", "duration", "empty", "field_mask", "source_context", "struct", "timestamp",
             "type", "wrappers"]
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([protoc, f"--descriptor_set_out={out.name}", "--include_imports"]
                       + [f"google/protobuf/{n}.proto" for n in names], check=True)
        data = open(out.name, "rb").read()
    return {file_name_and_imports(f)[0]: f for f in as_file_set.split(data)}


def ordered(files, roots):
    done, order = set(), []

    def visit(name):
        if name in done:
            return
        done.add(name)
        if name not in files:
            raise SystemExit(f"xds_descriptors: {name} is imported but is in neither the wheel nor libprotobuf")
        for dependency in file_name_and_imports(files[name])[1]:
            visit(dependency)
        order.append(name)

    for root in roots:
        visit(root)
    return order


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("--all", required=True)
    parser.add_argument("--closure", required=True)
    parser.add_argument("--list", required=True)
    parser.add_argument("roots", nargs="+")
    args = parser.parse_args()
    files = wheel_files(args.wheel)
    files.update(well_known_files(args.protoc))
    closure = ordered(files, args.roots)
    with open(args.closure, "wb") as out:
        out.write(as_file_set.join(files[n] for n in closure))
    with open(args.all, "wb") as out:
        out.write(as_file_set.join(files[n] for n in ordered(files, sorted(files))))
    with open(args.list, "w") as out:
        out.writelines(n + "\n" for n in closure if not n.startswith("google/protobuf/"))


if __name__ == "__main__":
    main()
