"""What AWS refuses of a template's resources and the emulator takes: for `emulator.py`, in the emulator's process, where every
value is known and a refusal is what fails the stack.

* properties that do not fit their schema (`resource-limits.json`), and what services refuse beyond it (`refusals.toml`);
* a name that is taken, by another stack or by hand: the emulator takes such a resource over;
* a role of another account that is passed to a service;
* the deletion of what is not empty.

The words are AWS's. Of a text that does not fit they leave out the text, since it may be a parameter's value.
"""

import importlib
import io
import json
import re
import types
import uuid
import zipfile

INERT = "AWS::CDK::Metadata"


class Refused(ValueError):
    """What CloudFormation says of a resource that failed; `message` is what the service itself said."""

    def __init__(self, told, message=None):
        super().__init__(told)
        self.message = told if message is None else message


def request_id():
    return str(uuid.uuid4())


def by_service(message, service, code="InvalidRequest", status=400):
    """A service's refusal, as a resource's handler tells it."""
    told = f"{message} (Service: {service}, Status Code: {status}, Request ID: {request_id()})" if service else message
    return Refused(
        f'Resource handler returned message: "{told}" (RequestToken: {request_id()}, HandlerErrorCode: {code})', message
    )


def number(value):
    """A value as a number, where it is one: templates write them as texts, too."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def plain(value):
    """A value as a text: CloudFormation takes 14 for "14" and true for "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


PATTERNS = {}


def fits(pattern, text):
    """Whether a text fits a pattern; one that Python does not know counts as fit."""
    if pattern not in PATTERNS:
        try:
            PATTERNS[pattern] = re.compile(pattern)
        except re.error:
            PATTERNS[pattern] = None
    known = PATTERNS[pattern]
    return known is None or known.search(text) is not None


def violations(schema, value, path="#"):
    """Where a value does not fit its schema, in the words of CloudFormation's validator."""
    if isinstance(value, dict):
        for key in schema.get("required", []):
            if key not in value:
                yield f"{path}: required key [{key}] not found"
        known = schema.get("properties")
        for key, below in value.items():
            if known is not None and key in known:
                yield from violations(known[key], below, f"{path}/{key}")
            elif schema.get("closed"):
                yield f"{path}: extraneous key [{key}] is not permitted"
    elif isinstance(value, list):
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is not None and len(value) < least:
            yield f"{path}: expected minimum item count: {least}, found: {len(value)}"
        if most is not None and len(value) > most:
            yield f"{path}: expected maximum item count: {most}, found: {len(value)}"
        if schema.get("uniqueItems"):
            seen = [json.dumps(item, sort_keys=True, default=str) for item in value]
            if len(set(seen)) < len(seen):
                yield f"{path}: array items are not unique"
        for index, item in enumerate(value):
            yield from violations(schema.get("items", {}), item, f"{path}/{index}")
    elif isinstance(value, (str, int, float)):
        yield from scalar(schema, value, path)


def scalar(schema, value, path):
    """The same of one value."""
    found = number(value)
    if "enum" in schema and plain(value) not in [plain(one) for one in schema["enum"]]:
        yield f"{path}: #: {plain(value)} is not a valid enum value"
    if found is not None:
        for key, bad, words in (
            ("minimum", lambda limit: found < limit, "is not greater or equal to"),
            ("maximum", lambda limit: found > limit, "is not less or equal to"),
            ("exclusiveMinimum", lambda limit: found <= limit, "is not greater than"),
            ("exclusiveMaximum", lambda limit: found >= limit, "is not less than"),
        ):
            if key in schema and bad(schema[key]):
                yield f"{path}: {plain(value)} {words} {schema[key]}"
    if isinstance(value, str):
        least, most = schema.get("minLength"), schema.get("maxLength")
        if least is not None and len(value) < least:
            yield f"{path}: expected minLength: {least}, actual: {len(value)}"
        if most is not None and len(value) > most:
            yield f"{path}: expected maxLength: {most}, actual: {len(value)}"
        if "pattern" in schema and not fits(schema["pattern"], value):
            yield f"{path}: string does not match pattern {schema['pattern']}"


def at(value, path):
    """What stands at a path, `*` for every item of a list."""
    values = [value]
    for key in path.split("."):
        if key == "*":
            values = [item for one in values if isinstance(one, list) for item in one]
        else:
            values = [one[key] for one in values if isinstance(one, dict) and key in one]
    return values


def size(document):
    """How many characters of a policy count: white space does not."""
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"), default=str)
    return sum(not character.isspace() for character in text)


def real(kind, props):
    """The type and the properties of what stands for something that the emulator does not have."""
    inner = props.get("Properties") if isinstance(props, dict) else None
    if kind == INERT and isinstance(props.get("Type"), str):
        return props["Type"], inner if isinstance(inner, dict) else {}
    return kind, props if isinstance(props, dict) else {}


class Rules:
    """All of it, over the emulator's own state."""

    def __init__(self, limits, table):
        self.limits, self.table = limits, table
        self.names = {one["type"]: one for one in table["name"]}

    def resource(self, kind, logical_id, props):
        """What is refused whatever else there is: an error, or nothing."""
        kind, props = real(kind, props)
        schema = self.limits.get(kind)
        if schema:
            given = set(schema.get("given", ()))
            found = [
                f"#: extraneous key [{key}] is not permitted" for key in props if key in given
            ] + list(violations(schema, props))
            if found:
                raise Refused(
                    f"Properties validation failed for resource {logical_id} with message:\n" + "\n".join(found)
                )
        self.by_its_service(kind, props)
        account = account_id()
        for path in self.table["passed"].get(kind, ()):
            for arn in at(props, path):
                parts = arn.split(":") if isinstance(arn, str) else []
                if len(parts) > 5 and parts[2] == "iam" and parts[4] and parts[4] != account:
                    raise by_service("Cross-account pass role is not allowed.", kind.split("::")[1], "AccessDenied", 403)

    def by_its_service(self, kind, props):
        """What a service refuses of properties, whoever brings them."""
        for limit in self.table["limit"]:
            if limit["type"] == kind and limit.get("unless") not in props:
                self.limit(limit, props)
        for policy in self.table["policy"]:
            if policy["type"] == kind and sum(size(one) for one in at(props, policy["path"])) > policy["most"]:
                raise by_service(policy["says"].format(**policy), "Iam", "ServiceLimitExceeded", 409)
        other = getattr(self, "of_" + kind.replace("AWS::", "").replace("::", "_").lower(), None)
        if other:
            other(props)

    @staticmethod
    def limit(limit, props):
        for value in at(props, limit["path"]):
            found = len(value) if isinstance(value, (list, dict)) else number(value)
            if isinstance(value, str) and found is None:
                found = len(value)
            least, most = limit.get("least"), limit.get("most")
            if found is None or not (least is not None and found < least or most is not None and found > most):
                continue
            said = limit["says"].format(value=plain(value) if number(value) is not None else "", least=least, most=most)
            raise by_service(said, limit["service"])

    def of_lambda_function(self, props):
        environment = props.get("Environment")
        variables = environment.get("Variables") if isinstance(environment, dict) else None
        variables = variables if isinstance(variables, dict) else {}
        own = {name: value for name, value in variables.items() if name not in self.table["lambda-own-variables"]}
        head = "Lambda was unable to configure your environment variables because the environment variables you have provided"
        reserved = [name for name in self.table["lambda-reserved"] if name in own]
        if reserved:
            said = f"{head} contains reserved keys that are currently not supported for modification. Reserved keys used in this request: {', '.join(reserved)}"
            raise by_service(said, "Lambda")
        for name in own:
            if not re.fullmatch("[a-zA-Z][a-zA-Z0-9_]+", name):
                said = "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
                raise by_service(said, "Lambda")
        # "Lambda quotas": 4 KB for all of them together. Lambda measures them as JSON.
        measured = json.dumps({name: plain(value) for name, value in own.items()}, separators=(",", ":"), ensure_ascii=False)
        if len(measured.encode()) > 4096:
            raise by_service(f"{head} exceeded the 4KB limit.", "Lambda")
        self.unzipped(props.get("Code"))

    def of_lambda_layerversion(self, props):
        self.unzipped(props.get("Content"))

    @staticmethod
    def unzipped(place):
        """The code at a place is within "Lambda quotas": 250 MB, unzipped."""
        place = place if isinstance(place, dict) else {}
        if place.get("S3Bucket") and place.get("S3Key"):
            body = service("lambda_svc")._fetch_code_from_s3(place["S3Bucket"], place["S3Key"], place.get("S3ObjectVersion"))
            if unzipped(body) > 262144000:
                raise by_service("Unzipped size must be smaller than 262144000 bytes", "Lambda")

    def of_lambda_eventsourcemapping(self, props):
        arn = props.get("EventSourceArn")
        parts = arn.split(":") if isinstance(arn, str) else []
        if len(parts) != 6 or parts[2] != "sqs":
            return
        # "Using Lambda with Amazon SQS", "Configuring a queue to use with Lambda", and "CreateEventSourceMapping".
        batch, window = number(props.get("BatchSize", 10)), number(props.get("MaximumBatchingWindowInSeconds", 0))
        if batch is not None and batch > 10 and not parts[5].endswith(".fifo") and not window:
            said = "Invalid request provided: Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
            raise by_service(said, "Lambda")
        queue = queue_named(parts[5])
        called = str(props.get("FunctionName", ""))
        name = called.split(":function:")[-1].split(":")[0]
        function = service("lambda_svc")._functions.get(name)
        if queue is None or function is None:
            return
        visible = number((queue.get("attributes") or {}).get("VisibilityTimeout"))
        timeout = number(function["config"].get("Timeout"))
        if visible is not None and timeout is not None and visible < timeout:
            said = f"Invalid request provided: Queue visibility timeout: {visible:g} seconds is less than Function timeout: {timeout:g} seconds"
            raise by_service(said, "Lambda")

    def of_codedeploy_deploymentgroup(self, props):
        name = props.get("DeploymentConfigName")
        if not isinstance(name, str) or not name:
            return
        known = self.table["deployment-configurations"]
        platform = next((one for one, names in known.items() if name in names), None)
        application = props.get("ApplicationName")
        wanted = None
        for kind, given, made, _ in resources():
            if kind == "AWS::CodeDeploy::DeploymentConfig" and given.get("DeploymentConfigName", made) == name:
                platform = given.get("ComputePlatform", "Server")
            elif kind == "AWS::CodeDeploy::Application" and given.get("ApplicationName", made) == application:
                wanted = given.get("ComputePlatform", "Server")
        if platform is None:
            raise by_service(f"No Deployment Configuration found for name: {name}", "CodeDeploy", "NotFound")
        if wanted is not None and wanted != platform:
            # The words are unconfirmed on AWS.
            said = f"The deployment configuration {name} is for the compute platform {platform}, and the application {application} for {wanted}"
            raise by_service(said, "CodeDeploy")

    def of_cloudwatch_alarm(self, props):
        period, evaluated = number(props.get("Period")), number(props.get("EvaluationPeriods"))
        if period is None:
            return
        # "PutMetricAlarm", `Period` and `EvaluationPeriods`.
        if period not in (10, 20, 30) and (period <= 0 or period % 60):
            raise by_service("Period must be 10, 20, 30 or a multiple of 60", "CloudWatch")
        longest = 604800 if period >= 3600 else 86400
        if evaluated is not None and period * evaluated > longest:
            said = f"Metrics cannot be checked across more than {'a week' if longest > 86400 else 'a day'} (EvaluationPeriods * Period must be <= {longest})"
            raise by_service(said, "CloudWatch")

    def of_sqs_queue(self, props):
        name, fifo = props.get("QueueName"), plain(props.get("FifoQueue", False)) == "true"
        if isinstance(name, str) and not re.fullmatch(r"[A-Za-z0-9_-]{1,75}\.fifo" if fifo else "[A-Za-z0-9_-]{1,80}", name):
            said = (
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length"
                if fifo
                else "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
            )
            raise by_service(said, "Sqs")

    def of_sns_topic(self, props):
        name, fifo = props.get("TopicName"), plain(props.get("FifoTopic", False)) == "true"
        if isinstance(name, str) and not re.fullmatch(r"[A-Za-z0-9_-]{1,251}\.fifo" if fifo else "[A-Za-z0-9_-]{1,256}", name):
            said = (
                "Invalid parameter: Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
                if fifo
                else "Invalid parameter: Topic Name"
            )
            raise by_service(said, "Sns")

    # Names.

    def identity(self, kind, props):
        """What must be there once: the values that name a resource, where the template gives them."""
        known = self.names.get(kind)
        keys = known["properties"] if known else self.limits.get(kind, {}).get("id")
        if not keys:
            return None
        defaults = dict(zip(keys, known.get("defaults", ()))) if known else {}
        values = [props.get(key) or defaults.get(key) for key in keys]
        return tuple(values) if all(isinstance(value, str) and value for value in values) else None

    def taken(self, kind, logical_id, props, stack_name):
        """Refuses a name that something else has."""
        kind, props = real(kind, props)
        identity = self.identity(kind, props)
        if identity is None:
            return
        known = self.names.get(kind, {})
        shared = (kind, *known.get("shared", ()))
        for other, given, _, (stack, logical) in resources():
            if other in shared and (stack, logical) != (stack_name, logical_id) and self.identity(other, given) == identity:
                raise self.exists(kind, identity)
        if "store" in known:
            module, attribute = known["store"].split(".")
            store, key = getattr(service(module), attribute), known["key"].format(*identity)
            tail = key[1:]
            if any(str(one).endswith(tail) for one in store) if key.startswith("*") else key in store:
                raise self.exists(kind, identity)

    def exists(self, kind, identity):
        known = self.names.get(kind, {})
        if "says" in known:
            return by_service(known["says"].format(*identity), known["service"], "AlreadyExists", 409)
        said = f"Resource of type '{kind}' with identifier '{'|'.join(identity)}' already exists."
        return by_service(said, None, "AlreadyExists")

    # Deletions.

    def deletion(self, kind, physical_id, props):
        """Refuses to delete what is not empty or is protected."""
        if kind == "AWS::S3::Bucket":
            s3 = service("s3")
            bucket = s3._buckets.get(physical_id)
            versions = any(key[0] == physical_id and kept for key, kept in s3._object_versions.items())
            if bucket is not None and (bucket.get("objects") or versions):
                said = "The bucket you tried to delete is not empty"
                said += ". You must delete all versions in the bucket." if versions else ""
                raise by_service(said, "S3", "GeneralServiceException", 409)
        elif kind == "AWS::ECR::Repository":
            images = service("ecr")._images.get(physical_id)
            if images and plain(props.get("EmptyOnDelete", False)) != "true":
                said = f"The repository with name '{physical_id}' in registry with id '{account_id()}' cannot be deleted because it still contains images"
                raise by_service(said, "Ecr", "GeneralServiceException")
        elif kind in ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"):
            table = service("dynamodb")._tables.get(physical_id)
            if table and plain(table.get("DeletionProtectionEnabled", False)) == "true":
                said = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
                raise by_service(said, "DynamoDb")
        elif kind == "AWS::Cognito::UserPool":
            pool = service("cognito")._user_pools.get(physical_id)
            if pool and pool.get("DeletionProtection") == "ACTIVE":
                said = "The user pool cannot be deleted because deletion protection is activated. Deletion protection must be inactivated first."
                raise by_service(said, "CognitoIdentityProvider")
        elif kind == "AWS::Events::EventBus":
            eventbridge = service("eventbridge")
            if any(str(key).startswith(f"{physical_id}|") for key in eventbridge._rules):
                said = f"Event bus {physical_id} can't be deleted since it has rules."
                raise by_service(said, "EventBridge")


def unzipped(body):
    """How large a zip's files are together; what is no zip has its own refusal."""
    if not body:
        return 0
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            return sum(one.file_size for one in archive.infolist())
    except zipfile.BadZipFile:
        return 0


def service(name):
    return importlib.import_module(f"ministack.services.{name}")


def account_id():
    return service("lambda_svc").get_account_id()


def queue_named(name):
    sqs = service("sqs")
    url = sqs._queue_name_to_url.get(name)
    return sqs._queues.get(url) if url else None


def resources():
    """Every resource of every stack of the account: type, properties, the name it has without one, and where it is."""
    stacks = service("cloudformation")._stacks
    for stack_name, stack in list(stacks.items()):
        if stack.get("StackStatus") == "DELETE_COMPLETE":
            continue
        for logical_id, record in list(stack.get("_resources", {}).items()):
            kind, props = real(record.get("ResourceType", ""), record.get("Properties") or {})
            yield kind, props, f"{stack_name}-{logical_id}", (stack_name, logical_id)


def install(stacks, provisioners, rules):
    """Holds every create, update and delete of a template's resources to the rules, those of nested stacks, too."""
    provision, update, delete = stacks._provision_resource, stacks._update_resource, stacks._delete_resource

    def provisioned(kind, logical_id, props, stack_name):
        rules.resource(kind, logical_id, props)
        rules.taken(kind, logical_id, props, stack_name)
        return provision(kind, logical_id, props, stack_name)

    def updated(kind, physical_id, old, new, stack_name, logical_id=None, attributes=None):
        if old != new:
            rules.resource(kind, logical_id or physical_id, new)
            before, after = (rules.identity(*real(kind, props)) for props in (old, new))
            if after is not None and before != after:
                rules.taken(kind, logical_id, new, stack_name)
        return update(kind, physical_id, old, new, stack_name, logical_id, attributes)

    def deleted(kind, physical_id, props, stack_name=None, logical_id=None):
        rules.deletion(kind, physical_id, props if isinstance(props, dict) else {})
        return delete(kind, physical_id, props, stack_name, logical_id)

    held = {"_provision_resource": provisioned, "_update_resource": updated, "_delete_resource": deleted}
    for name, function in held.items():
        setattr(stacks, name, function)
    # A handler falls back to these as well, to make again what is there: only the calls of nested stacks are replaced.
    for name in ("_cfn_nested_stack_deploy", "_cfn_nested_stack_delete"):
        function = getattr(provisioners, name)
        own = types.FunctionType(
            function.__code__, {**vars(provisioners), **held}, name, function.__defaults__, function.__closure__
        )
        own.__kwdefaults__ = function.__kwdefaults__
        setattr(provisioners, name, own)
