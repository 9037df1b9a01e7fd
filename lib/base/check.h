// SPDX-License-Identifier: Apache-2.0
// Assertions, for broken invariants of our own only: bytes from a peer or a user never reach them.
#pragma once

#include <cstdio>
#include <cstdlib>

// Always on: memory safety or a broken invariant that no code after it could survive.
#define MELTEMI_CHECK(condition)                                                             \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

// Debug and sanitizer builds only.
#ifdef NDEBUG
#define MELTEMI_DCHECK(condition) ((void)sizeof(condition))
#else
#define MELTEMI_DCHECK(condition) MELTEMI_CHECK(condition)
#endif
