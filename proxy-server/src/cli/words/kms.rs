use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ReadArgs, WorkloadPath};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KmsCommand {
    /// Print the statements of a KMS key policy for a workload's active measurements.
    #[command(after_help = POLICY_EXAMPLES)]
    Policy {
        /// Whose.
        workload: WorkloadPath,
        /// Who may use the key inside of its enclaves: a role's ARN. Can be given again. Without it, the role that
        /// [[sts.role]] of this machine's configuration gives the workload.
        #[arg(long = "principal", value_name = "ARN")]
        principals: Vec<String>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Compare a key's policy with the measurements: what is too wide, what is missing. Exit code 0: nothing; 1: some
    /// drift; 2: wrong usage, or a policy that cannot be judged.
    #[command(after_help = DRIFT_EXAMPLES)]
    Drift(Box<KmsDrift>),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["key", "policy"]))]
pub(in crate::cli) struct KmsDrift {
    /// The workloads that the key is for.
    #[arg(required = true, value_name = "WORKLOAD")]
    pub(in crate::cli) workloads: Vec<WorkloadPath>,
    /// Ask KMS for the policy in force of this key, an ARN. Credentials come from where AWS's SDKs look for them; they
    /// need kms:GetKeyPolicy.
    #[arg(long, value_name = "ARN")]
    pub(in crate::cli) key: Option<String>,
    /// Ask KMS here instead of at its region's own address: a VPC endpoint.
    #[arg(long, value_name = "URL", requires = "key", conflicts_with = "policy")]
    pub(in crate::cli) endpoint: Option<String>,
    /// Read the policy from this file, or from standard input for -, and ask nobody.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) read: ReadArgs,
}

const POLICY_EXAMPLES: &str = "\
Examples:
  countersign-proxy kms policy payments
  countersign-proxy kms policy payments --principal arn:aws:iam::111122223333:role/payments --output json

Add the statements to the key's policy, which must keep one by which somebody can administer the key.";

const DRIFT_EXAMPLES: &str = "\
Examples:
  countersign-proxy kms drift payments --key arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
  aws kms get-key-policy --key-id alias/payments --output text | countersign-proxy kms drift payments --policy -
  countersign-proxy kms drift payments reports --policy policy.json --output json

Grants and IAM policies are not looked at.";
