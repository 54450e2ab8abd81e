use crate::Failure;
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What `nitro-cli describe-eif` prints of an image: its keys, from the same library.
pub fn describe(image: &Path) -> Result<Value, Failure> {
    let mut reader = read(image)?;
    let measurements = reader.get_measurements()?;
    let mut description = Map::new();
    let mut put = |key: &str, value: Value| _ = description.insert(key.to_owned(), value);
    put("EifVersion", reader.get_header().version.into());
    put("Measurements", json!(measurements));
    put("IsSigned", measurements.contains_key("PCR8").into());
    if measurements.contains_key("PCR8") {
        put("SigningCertificate", serde_json::to_value(reader.get_certificate_info(measurements)?)?);
        put("SignatureCheck", reader.sign_check.into());
    }
    put("CheckCRC", reader.check_crc().into());
    if let Some(metadata) = reader.get_metadata() {
        put("ImageName", metadata.img_name.into());
        put("ImageVersion", metadata.img_version.into());
        let mut build = serde_json::to_value(metadata.build_info)?;
        build["DockerInfo"] = metadata.docker_info;
        put("Metadata", build);
    }
    Ok(description.into())
}

pub(crate) fn measurements(image: &Path) -> Result<BTreeMap<String, String>, Failure> {
    Ok(read(image)?.get_measurements()?)
}

fn read(image: &Path) -> Result<EifReader, Failure> {
    Ok(EifReader::from_eif(image.to_str().ok_or("a path that is not UTF-8")?.to_owned())?)
}
