//! Deserializers for what Go programs write: numbers that went through `float64`, and field names of
//! any case.

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An unsigned number, also if written `1500.0` or `1.5e3`: libcni passes configurations through
/// `map[string]interface{}`, where every number is a `float64`.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    as_number(&value).ok_or_else(|| de::Error::custom(format!("{value} is not a non-negative whole number")))
}

/// The same for an optional number; `null` is absent.
pub(super) fn optional_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => match as_number(&value) {
            Some(number) => Ok(Some(number)),
            None => Err(de::Error::custom(format!("{value} is not a non-negative whole number"))),
        },
    }
}

fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0 && (0.0..9.1e15).contains(float))?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked: whole, 0 ≤ float < 2^53
        Some(float as u64)
    })
}

/// A value that `null` leaves at its default.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Lower-cases the keys of an object and of the objects in it, for what runtimes fill in: CRI sends Go
/// field names (`HostPort`), podman the specification's (`hostPort`), and Go decodes both.
pub(super) fn lower_keys(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let lower = map.into_iter().map(|(key, value)| (key.to_lowercase(), lower_keys(value)));
            Value::Object(lower.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_keys).collect()),
        other => other,
    }
}
