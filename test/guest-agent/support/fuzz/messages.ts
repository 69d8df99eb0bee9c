import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import fc, { type Arbitrary } from "fast-check";
import { junk, number, text } from "./values.ts";

/**
 * A message of a type, as its JSON: some of its fields, with values of their types or, unless `valid`, now and then with
 * something else.
 */
export function message(desc: DescMessage, valid: boolean): Arbitrary<JsonValue> {
  const fields = desc.fields.map((field) => {
    const right = value(field, valid);
    const some = valid ? right : fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: junk });
    return [field.jsonName, some as Arbitrary<JsonValue>] as const;
  });
  const record = fc.record(Object.fromEntries(fields), { requiredKeys: [] });
  // Of a group of alternatives there can be one.
  const alternatives = desc.oneofs.map((oneof) => oneof.fields.map((field) => field.jsonName));
  return record.map((object) => {
    if (valid)
      for (const group of alternatives)
        for (const name of group.filter((name) => name in object).slice(1)) delete object[name];
    return object as JsonValue;
  });
}

/** A message of a type, in its binary form. */
export function binaryMessage(desc: DescMessage): Arbitrary<string> {
  return message(desc, true).map((json) =>
    Buffer.from(toBinary(desc, fromJson(desc, json))).toString("latin1"),
  );
}

function value(field: DescField, valid: boolean): Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "message":
      return message(field.message, valid);
    case "enum":
      return fc.oneof(
        fc.integer({ min: -1, max: 70 }),
        fc.constantFrom(...field.enum.values.map(({ name }) => name)),
      );
    case "list":
      return fc.array(text, { maxLength: 4 });
    case "map":
      return fc.dictionary(text, text, { maxKeys: 3 });
    case "scalar":
      return scalar(field.name, field.scalar);
  }
}

function scalar(name: string, type: ScalarType): Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      if (name === "cmd") return fc.oneof(fc.constantFrom("true", "cat", "sh", "/bin/echo"), text);
      return name === "tag" ? fc.oneof(fc.constantFrom("victim", "other"), text) : text;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64"));
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return fc.oneof(number.map(String), fc.constant("18446744073709551615"));
    default:
      return number;
  }
}
