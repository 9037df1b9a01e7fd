"""Just enough of the protobuf wire format to read a FileDescriptorProto's name and imports and to
join or split a FileDescriptorSet, so that the build needs no Python protobuf package."""


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 2:
            size, at = _varint(data, at)
            yield key >> 3, data[at:at + size]
            at += size
        elif kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} in a descriptor")


def file_name_and_imports(data):
    """FileDescriptorProto: field 1 is the name, field 3 the imports."""
    name, imports = "", []
    for number, value in _fields(data):
        if number == 1:
            name = value.decode()
        elif number == 3:
            imports.append(value.decode())
    return name, imports


def _length(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


class as_file_set:
    """FileDescriptorSet: field 1, repeated."""

    @staticmethod
    def join(files):
        return b"".join(b"\x0a" + _length(len(f)) + f for f in files)

    @staticmethod
    def split(data):
        return [value for number, value in _fields(data) if number == 1]
