//! What a file leaves out, and is not written either.

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) const fn no_limit() -> i64 {
    -1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(super) const fn is_no_limit(limit: &i64) -> bool {
    *limit == -1
}
