// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace meltemi::proxy {
namespace {

// Segments that are executable and not writable hold nothing but the file's own bytes (nothing is
// relocated in them: the linker refuses text relocations), so dropping their pages loses nothing.
int DropCode(dl_phdr_info* object, size_t, void*) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    if ((segment.p_flags & PF_W) != 0) continue;
    const uintptr_t from = (object->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const uintptr_t to = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz) / page * page;
    if (to > from) ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void ReturnStartupMemory() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(DropCode, nullptr);
}

}  // namespace meltemi::proxy
