//! The services that are asked without an SDK crate of their own: their ids, hosts and protocols.

/// A service that speaks JSON.
#[derive(Debug)]
pub(super) struct Service {
    /// Its id in configurations, as in `AWS_ENDPOINT_URL_DYNAMODB`.
    pub(super) id: &'static str,
    /// The first word of its hosts, which signatures name it by as well.
    pub(super) host: &'static str,
    /// What stands before an operation in `X-Amz-Target`.
    pub(super) target: &'static str,
    /// The version of the protocol.
    pub(super) version: &'static str,
    /// What asks for the next page of a list.
    pub(super) next: &'static str,
    /// Whether its hosts of us-gov are validated for FIPS without a name for that: those with IPv4 alone, those with IPv6.
    pub(super) gov_is_fips: (bool, bool),
}

/// CodeDeploy.
pub(super) const CODEDEPLOY: Service = Service {
    id: "CodeDeploy",
    host: "codedeploy",
    target: "CodeDeploy_20141006",
    version: "1.1",
    next: "nextToken",
    gov_is_fips: (false, false),
};

/// CloudWatch, which speaks JSON beside its two other protocols.
pub(super) const CLOUDWATCH: Service = Service {
    id: "CloudWatch",
    host: "monitoring",
    target: "GraniteServiceVersion20100801",
    version: "1.0",
    next: "NextToken",
    gov_is_fips: (true, true),
};

/// DynamoDB.
pub(super) const DYNAMODB: Service = Service {
    id: "DynamoDB",
    host: "dynamodb",
    target: "DynamoDB_20120810",
    version: "1.0",
    next: "NextToken",
    gov_is_fips: (true, false),
};

/// KMS.
pub(super) const KMS: Service = Service {
    id: "KMS",
    host: "kms",
    target: "TrentService",
    version: "1.1",
    next: "NextToken",
    gov_is_fips: (false, false),
};

/// CodeConnections.
pub(super) const CODECONNECTIONS: Service = Service {
    id: "CodeConnections",
    host: "codeconnections",
    target: "com.amazonaws.codeconnections.CodeConnections_20231201",
    version: "1.0",
    next: "NextToken",
    gov_is_fips: (false, false),
};

/// CodePipeline.
pub(super) const CODEPIPELINE: Service = Service {
    id: "CodePipeline",
    host: "codepipeline",
    target: "CodePipeline_20150709",
    version: "1.1",
    next: "nextToken",
    gov_is_fips: (false, false),
};

/// SNS, which is asked by forms and answers in XML; `version` is its API's.
pub(super) const SNS: Service = Service {
    id: "SNS",
    host: "sns",
    target: "",
    version: "2010-03-31",
    next: "NextToken",
    gov_is_fips: (true, false),
};

/// IAM, which is asked as SNS is, and is one service for all regions of a partition.
pub(super) const IAM: Service = Service {
    id: "IAM",
    host: "iam",
    target: "",
    version: "2010-05-08",
    next: "Marker",
    gov_is_fips: (true, true),
};
