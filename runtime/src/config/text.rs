//! Deserialises a field from one environment variable: the field's type decides how the text is read.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

/// A `T` of which only `field` is set, from `text`. A list is separated by commas.
pub(super) fn one_field<T: DeserializeOwned>(field: &'static str, text: &str) -> Result<T, Error> {
    T::deserialize(MapDeserializer::new(std::iter::once((field, Text(text)))))
}

#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl<'de> IntoDeserializer<'de, Error> for Text<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Error;

    /// All numeric types: a number as a number, so that the type can check its range; else the text, so that it can
    /// say what it wanted.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Ok(number) = self.0.parse() {
            visitor.visit_u64(number)
        } else if let Ok(number) = self.0.parse() {
            visitor.visit_i64(number)
        } else if let Ok(number) = self.0.parse() {
            visitor.visit_f64(number)
        } else {
            visitor.visit_str(self.0)
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            other => visitor.visit_str(other),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = self.0.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Text);
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Docker,
        Process,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: Option<String>,
        port: Option<u16>,
        offset: Option<i8>,
        ratio: Option<f64>,
        gpus: Option<bool>,
        kind: Option<Kind>,
        volumes: Option<Vec<String>>,
    }

    fn read(field: &'static str, text: &str) -> Result<Sample, String> {
        one_field(field, text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_type_of_the_field_decides_how_its_text_is_read() {
        let none = Sample::default;
        assert_eq!(read("name", "8080"), Ok(Sample { name: Some("8080".into()), ..none() }));
        assert_eq!(read("port", "8080"), Ok(Sample { port: Some(8080), ..none() }));
        assert_eq!(read("offset", "-3"), Ok(Sample { offset: Some(-3), ..none() }));
        assert_eq!(read("ratio", "0.5"), Ok(Sample { ratio: Some(0.5), ..none() }));
        assert_eq!(read("gpus", "true"), Ok(Sample { gpus: Some(true), ..none() }));
        assert_eq!(read("gpus", "0"), Ok(Sample { gpus: Some(false), ..none() }));
        assert_eq!(read("kind", "process"), Ok(Sample { kind: Some(Kind::Process), ..none() }));
        let volumes = Some(vec!["/a:/a".to_owned(), "/b:/b:ro".to_owned()]);
        assert_eq!(read("volumes", "/a:/a, /b:/b:ro,"), Ok(Sample { volumes, ..none() }));
    }

    #[test]
    fn what_does_not_fit_says_what_was_wanted() {
        assert!(read("port", "many").unwrap_err().contains("expected u16"));
        assert!(read("port", "70000").unwrap_err().contains("70000"));
        assert!(read("port", "-1").unwrap_err().contains("-1"));
        assert!(read("gpus", "yes").unwrap_err().contains("expected a boolean"));
        assert!(read("kind", "podman").unwrap_err().contains("`docker`"));
    }
}
