use super::{endpoint::Endpoint, error::BadSetting, headers::Headers, resource::Resource};

/// What OpenTelemetry's conventional variables say. An empty variable is as none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<Endpoint>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    pub headers: Option<Headers>,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`, checked.
    pub resource_attributes: Option<String>,
}

impl Environment {
    /// Reads them. `OTEL_SDK_DISABLED=true` is as if there were none.
    ///
    /// # Errors
    /// [`BadSetting::Variable`] with the first that cannot be read.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let said = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self::default());
        }
        let attributes = said(ATTRIBUTES);
        if let Some(attributes) = &attributes {
            let _ = Resource::new("", "").with_pairs(attributes).map_err(within(ATTRIBUTES))?;
        }
        Ok(Self {
            endpoint: said(ENDPOINT)
                .map(|value| Endpoint::parse(value.trim()))
                .transpose()
                .map_err(within(ENDPOINT))?,
            headers: said(HEADERS)
                .map(|value| Headers::of_pairs(&value))
                .transpose()
                .map_err(within(HEADERS))?,
            service_name: said("OTEL_SERVICE_NAME"),
            resource_attributes: attributes,
        })
    }

    /// This resource, and what the environment says of it: its name before that of the attributes.
    ///
    /// # Errors
    /// [`BadSetting::Resource`] when they are too many together.
    pub fn resource(&self, resource: Resource) -> Result<Resource, BadSetting> {
        let resource = match &self.resource_attributes {
            Some(attributes) => resource.with_pairs(attributes).map_err(within(ATTRIBUTES))?,
            None => resource,
        };
        Ok(match &self.service_name {
            Some(name) => resource.with("service.name", name.clone()),
            None => resource,
        })
    }
}

fn within(name: &'static str) -> impl Fn(BadSetting) -> BadSetting {
    move |source| BadSetting::Variable { name, source: Box::new(source) }
}

/// `None` where a `%` has no two digits behind it.
pub(super) fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut value = [0];
        hex::decode_to_slice([bytes.next()?, bytes.next()?], &mut value).ok()?;
        decoded.extend(value);
    }
    Some(decoded)
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Environment, BadSetting> {
        Environment::read(|asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_conventional_names() {
        let read = of(&[
            (ENDPOINT, " http://collector:4318 "),
            (HEADERS, "x-key=planted"),
            ("OTEL_SERVICE_NAME", "by-name"),
            (ATTRIBUTES, "service.name=by-attribute,deployment.environment.name=a%2Cb"),
        ])
        .unwrap();
        assert_eq!(read.endpoint, Some(Endpoint::parse("http://collector:4318").unwrap()));
        assert_eq!(read.headers, Some(Headers::of_pairs("x-key=planted").unwrap()));
        assert_eq!(
            read.resource(Resource::new("countersign-proxy", "1")).unwrap(),
            Resource::new("by-name", "1").with("deployment.environment.name", "a,b".to_owned())
        );
        assert_eq!(of(&[(ENDPOINT, ""), (HEADERS, " ")]), Ok(Environment::default()));
        assert_eq!(of(&[("OTEL_SDK_DISABLED", "true"), (ENDPOINT, "http://c")]), Ok(Environment::default()));
    }

    #[test]
    fn a_bad_variable_is_named() {
        let error = of(&[(ENDPOINT, "collector:4317")]).unwrap_err();
        assert_eq!(error.to_string(), "the environment's OTEL_EXPORTER_OTLP_ENDPOINT");
        assert!(matches!(
            of(&[(ATTRIBUTES, "a=1,b")]),
            Err(BadSetting::Variable { name: ATTRIBUTES, source })
                if *source == BadSetting::Resource { number: 2, why: "no `name=value`" }
        ));
    }
}
