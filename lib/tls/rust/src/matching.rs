// SPDX-License-Identifier: Apache-2.0
//! Matchers of subject alternative names.

use std::ffi::c_void;

use crate::certificate::Identity;
use crate::Slice;

/// A compiled expression of the C++ side; matches whole texts.
pub struct Regex {
    pub handle: *mut c_void,
    pub matches: unsafe extern "C" fn(*const c_void, Slice) -> bool,
    pub free: unsafe extern "C" fn(*mut c_void),
}

// RE2 is immutable once it is compiled.
unsafe impl Send for Regex {}
unsafe impl Sync for Regex {}

impl Drop for Regex {
    fn drop(&mut self) {
        unsafe { (self.free)(self.handle) }
    }
}

pub enum How {
    Exact,
    Prefix,
    Suffix,
    Contains,
    Regex(Regex),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Type {
    Any,
    Email,
    Dns,
    Uri,
    Ip,
}

pub struct SanMatcher {
    pub san: Type,
    pub how: How,
    pub ignores_case: bool,
    pub value: String, // lower case when case is ignored; an expression's text
}

impl std::fmt::Debug for SanMatcher {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self.how {
            How::Exact => "exact",
            How::Prefix => "prefix",
            How::Suffix => "suffix",
            How::Contains => "contains",
            How::Regex(_) => "regex",
        };
        write!(to, "{:?} {how} {} {:?}", self.san, self.ignores_case, self.value)
    }
}

impl SanMatcher {
    pub fn matches(&self, identity: &Identity) -> bool {
        let is = |san: Type| self.san == Type::Any || self.san == san;
        (is(Type::Uri) && identity.uri_sans.iter().any(|san| self.matches_text(san)))
            || (is(Type::Dns) && identity.dns_sans.iter().any(|san| self.matches_dns(san)))
            || (is(Type::Ip) && identity.ip_sans.iter().any(|san| self.matches_text(san)))
            || (is(Type::Email) && identity.email_sans.iter().any(|san| self.matches_text(san)))
    }

    fn matches_text(&self, san: &str) -> bool {
        if self.ignores_case {
            return self.matches_as_is(&san.to_ascii_lowercase());
        }
        self.matches_as_is(san)
    }

    fn matches_as_is(&self, san: &str) -> bool {
        let value = self.value.as_str();
        match &self.how {
            How::Exact => san == value,
            How::Prefix => san.starts_with(value),
            How::Suffix => san.ends_with(value),
            How::Contains => san.contains(value),
            How::Regex(regex) => unsafe {
                (regex.matches)(regex.handle, Slice::of(san.as_bytes()))
            },
        }
    }

    fn matches_dns(&self, san: &str) -> bool {
        match self.how {
            How::Exact => dns_name_matches(san, &self.value),
            _ => self.matches_text(san),
        }
    }
}

/// DNS names know no case, and a certificate may name all hosts of a domain (RFC 6125 §6.4.3): its
/// star stands for one whole label.
pub fn dns_name_matches(san: &str, name: &str) -> bool {
    if san.eq_ignore_ascii_case(name) {
        return true;
    }
    let Some(domain) = san.strip_prefix("*.") else {
        return false;
    };
    name.split_once('.').is_some_and(|(host, rest)| {
        !host.is_empty() && rest.eq_ignore_ascii_case(domain)
    })
}
