// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace meltemi::proxy {
namespace {

// Code, constants, tables of the linker and of unwinding: a segment that is not writable holds the
// file's own bytes, unless the object asks for relocations there (DT_TEXTREL; none of ours does).
bool HasTextRelocations(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object.dlpi_phdr[i];
    if (segment.p_type != PT_DYNAMIC) continue;
    const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + segment.p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == DT_TEXTREL) return true;
      if (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0) return true;
    }
  }
  return false;
}

// Dropping such pages loses nothing.
int DropFileBytes(dl_phdr_info* object, size_t, void*) {
  if (HasTextRelocations(*object)) return 0;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t from = (object->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const uintptr_t to = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz) / page * page;
    if (to > from) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void ReturnStartupMemory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(DropFileBytes, nullptr);
}

}  // namespace meltemi::proxy
