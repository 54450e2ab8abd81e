use std::{collections::HashMap, fmt, str::FromStr, sync::Arc, time::Duration};

use super::SessionPolicy;
use crate::policy::WorkloadName;

/// What each workload's sessions are given. A workload that is not here is given nothing.
pub type Roles = HashMap<WorkloadName, Arc<Role>>;

/// What sessions of one workload are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// The role that is assumed.
    pub arn: RoleArn,
    /// How long the credentials live.
    pub duration: Duration,
    /// What of the role's rights they have.
    pub policy: SessionPolicy,
}

impl Role {
    /// The bounds of [`Self::duration`], seconds. 900 is the least that STS gives; 3600 the most that it gives
    /// to whoever is a role itself (IAM User Guide, "role chaining"), and long enough after a revocation.
    pub const SECONDS: std::ops::RangeInclusive<u64> = 900..=3600;
}

/// `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME` (IAM User Guide, "IAM ARNs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn(String);

impl RoleArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleArn {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        let parts: Vec<&str> = text.split(':').collect();
        let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
            return Err(BadRole);
        };
        let partition_fits = partition.starts_with("aws")
            && partition.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let account_fits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let path = resource.strip_prefix("role/").ok_or(BadRole)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        // IAM's own characters, for names and for paths.
        let word = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        let name_fits = (1..=64).contains(&name.len()) && name.bytes().all(word);
        let path_fits = path.len() <= 512 && path.bytes().all(|b| b == b'/' || b.is_ascii_graphic());
        let fits = partition_fits && account_fits && name_fits && path_fits;
        if fits { Ok(Self(text.to_owned())) } else { Err(BadRole) }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRole;

impl fmt::Display for BadRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a role's ARN, as \"arn:aws:iam::111122223333:role/payments\"")
    }
}

impl std::error::Error for BadRole {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_one_role() {
        for good in [
            "arn:aws:iam::111122223333:role/payments",
            "arn:aws-us-gov:iam::111122223333:role/enclaves/eu/payments-v1+a=b,c.d@e_f",
        ] {
            assert_eq!(good.parse::<RoleArn>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "payments",
            "arn:aws:iam::111122223333:user/payments",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/a/",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::11112222333:role/a",
            "arn:aws:iam:eu-west-1:111122223333:role/a",
            "arn:gcp:iam::111122223333:role/a",
            "arn:aws:sts::111122223333:assumed-role/a/b",
            &format!("arn:aws:iam::111122223333:role/{}", "a".repeat(65)),
        ] {
            assert_eq!(bad.parse::<RoleArn>(), Err(BadRole), "{bad}");
        }
    }
}
