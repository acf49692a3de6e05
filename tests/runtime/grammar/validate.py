"""Validates answers with Python's jsonschema: lines of {"name", "schema", "answer"}.

Names on standard error and exit code 1 if one is not valid for its schema.
"""
import datetime
import json
import re
import sys

import jsonschema


def validator_of(schema):
    """Draft 7 where "items" is an array or "exclusiveMinimum" draft 4's boolean, else 2020-12."""
    text = json.dumps(schema)
    if re.search(r'"exclusiveM\w+": (true|false)', text):
        return jsonschema.Draft4Validator
    if '"items": [' in text:
        return jsonschema.Draft7Validator
    return jsonschema.Draft202012Validator


def is_time(text):
    """A full-time of RFC 3339. Python's jsonschema checks draft 3's, which has no offset."""
    if not isinstance(text, str):
        return True
    return re.search(r"(Z|[+-]\d\d:\d\d)$", text) and datetime.time.fromisoformat(text.replace("Z", "+00:00"))


def main(path):
    formats = jsonschema.FormatChecker()
    formats.checks("time", raises=ValueError)(is_time)
    wrong = 0
    count = 0
    for line in open(path, encoding="utf-8"):
        entry = json.loads(line)
        schema = entry["schema"]
        value = json.loads(entry["answer"])
        validator = validator_of(schema)
        validator.check_schema(schema)
        count += 1
        if value is None and isinstance(schema, dict) and schema.get("nullable"):
            continue
        for error in validator(schema, format_checker=formats).iter_errors(value):
            print(f'{entry["name"]}: {entry["answer"]!r}: {error.message}', file=sys.stderr)
            wrong += 1
    print(f"{count - wrong} of {count} answers are valid")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
