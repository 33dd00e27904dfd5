//! A stack as CloudFormation describes it.

use super::server::Response;

/// What CloudFormation answers about a stack with one output, an API's address.
pub(crate) fn with_api(api: &str) -> Response {
    let xml = format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs><member><OutputKey>ApiURL</OutputKey>\
         <OutputValue>{api}</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    );
    Response::text(200, xml).with("content-type", "text/xml")
}
