"""A CloudFormation template as deployed with given parameters: conditions and functions are evaluated.

A reference to a resource becomes its logical name, ``Key.Arn`` an attribute of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.paths import REPOSITORY

STACK: Final = REPOSITORY / "aws" / "cf.yaml"
GITHUB: Final = REPOSITORY / "aws" / "github.yaml"
#: As in docs/operate/aws.md.
STACK_NAME: Final = "audit-logs-pipeline"
GITHUB_STACK_NAME: Final = "audit-logs-pipeline-github"
ACCOUNT: Final = "111122223333"
_PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": STACK_NAME,
}
_NO_VALUE: Final = object()


class _Loader(yaml.SafeLoader):
    pass


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: node.value}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def load_template(path: Path) -> dict[str, Any]:
    """The template as written; ``!Ref x`` is ``{"Ref": "x"}``."""
    template: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return template


@dataclass(frozen=True)
class Statement:
    """A statement of a policy; ``holder`` is the resource whose policy it is."""

    holder: str
    kind: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principal: Any
    condition: Mapping[str, Mapping[str, Any]]


class Deployed:
    """The template with the given parameters, and the defaults of the others."""

    def __init__(self, path: Path, **parameters: str) -> None:
        self._template = load_template(path)
        defaults = {name: given.get("Default") for name, given in self._template["Parameters"].items()}
        self._values: dict[str, Any] = {**_PSEUDO, **defaults, **parameters}
        wanted = {name: each for name, each in self._template["Resources"].items() if self._holds(each)}
        self.resources: dict[str, dict[str, Any]] = {name: self._evaluate(each) for name, each in wanted.items()}
        outputs = self._template["Outputs"]
        self.outputs: dict[str, str] = {
            name: self._evaluate(each["Value"]) for name, each in outputs.items() if self._holds(each)
        }

    def properties(self, name: str) -> dict[str, Any]:
        properties: dict[str, Any] = self.resources[name]["Properties"]
        return properties

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of all resources of a type."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def statements(self) -> Iterator[Statement]:
        """Every statement of every policy, anywhere in a resource."""
        for name, each in self.resources.items():
            for document in _policies_in(each["Properties"]):
                for statement in document["Statement"]:
                    yield _statement(name, each["Type"], statement)

    def _holds(self, thing: Mapping[str, Any]) -> bool:
        return "Condition" not in thing or self._is_true(self._template["Conditions"][thing["Condition"]])

    def _is_true(self, condition: Mapping[str, Any]) -> bool:
        ((function, arguments),) = condition.items()
        if function == "Fn::Not":
            return not self._is_true(arguments[0])
        assert function == "Fn::Equals", function
        left, right = map(self._evaluate, arguments)
        return bool(left == right)

    def _evaluate(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for each in value if (found := self._evaluate(each)) is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        return {key: found for key, each in value.items() if (found := self._evaluate(each)) is not _NO_VALUE}

    def _call(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                return argument
            case "Fn::Sub":
                text = re.sub(r"\$\{([^!}][^}]*)\}", lambda found: str(self._reference(found[1])), argument)
                return text.replace("${!", "${")
            case "Fn::If":
                condition, yes, no = argument
                return self._evaluate(yes if self._is_true(self._template["Conditions"][condition]) else no)
        raise AssertionError(f"{function} is not supported here")

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        assert name in self._values or name.split(".")[0] in self._template["Resources"], f"{name} is not defined"
        return self._values.get(name, name)


def _policies_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "Statement" in value:
            yield value
        for each in value.values():
            yield from _policies_in(each)
    if isinstance(value, list):
        for each in value:
            yield from _policies_in(each)


def _statement(holder: str, kind: str, given: Mapping[str, Any]) -> Statement:
    def several(value: Any) -> tuple[str, ...]:
        return tuple(value) if isinstance(value, list) else (value,)

    return Statement(
        holder,
        kind,
        given["Effect"],
        several(given["Action"]),
        several(given["Resource"]) if "Resource" in given else (),
        given.get("Principal"),
        given.get("Condition", {}),
    )
