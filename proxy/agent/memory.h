// SPDX-License-Identifier: Apache-2.0
// Memory that only the start needed. Any thread; harmless at any time.
#pragma once

namespace meltemi::proxy {

// Unmaps what the start read of the program's and its libraries' files (parsers, registration of
// message types, relocations, symbols, descriptors) and gives free heap back. What is needed again
// comes from the page cache, one minor fault each.
void ReturnStartupMemory();

}  // namespace meltemi::proxy
