// SPDX-License-Identifier: Apache-2.0
//! rustls behind a C interface, for lib/tls. No sockets here: bytes in, bytes out. Contexts are shared
//! between threads; a session belongs to one. The C side of every declaration is in lib/tls/engine.h.

mod certificate;
mod context;
mod failure;
mod matching;
mod records;
mod resolver;
mod session;
mod sessions;
mod settings;
mod ticketer;
mod verifier;

use std::slice;

/// Borrowed bytes that cross the border.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    pub data: *const u8,
    pub size: usize,
}

// Safety: read only, and whoever keeps one keeps its bytes.
unsafe impl Send for Slice {}
unsafe impl Sync for Slice {}

impl Slice {
    pub fn of(bytes: &[u8]) -> Slice {
        Slice { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// # Safety
    /// The caller of the C function keeps the bytes alive and still for the call.
    pub unsafe fn get<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            &[]
        } else {
            slice::from_raw_parts(self.data, self.size)
        }
    }
}

/// Writable bytes that cross the border.
#[repr(C)]
pub struct Space {
    pub data: *mut u8,
    pub size: usize,
}

impl Space {
    /// # Safety
    /// As for `Slice::get`, and nobody else reads or writes the bytes during the call.
    pub unsafe fn get<'a>(&self) -> &'a mut [u8] {
        if self.size == 0 {
            &mut []
        } else {
            slice::from_raw_parts_mut(self.data, self.size)
        }
    }
}

/// Copies a message into the caller's space, cut to fit; returns its length.
pub fn copy_text(text: &str, to: &mut [u8]) -> usize {
    let size = text.len().min(to.len());
    to[..size].copy_from_slice(&text.as_bytes()[..size]);
    size
}
