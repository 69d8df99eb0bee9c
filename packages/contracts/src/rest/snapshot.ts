import { type Static, Type } from "typebox";
import { templateNamePattern } from "./capsule.ts";

export const SnapshotParams = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 64, description: "Name of the snapshot." }),
});

export const CreateSnapshotBody = Type.Object(
  {
    sandbox_id: Type.String({ minLength: 1, maxLength: 64, description: "Capsule to take it of." }),
    name: Type.Optional(
      Type.String({ pattern: templateNamePattern, description: "`template-` and 8 digits when absent." }),
    ),
  },
  { title: "CreateSnapshot", additionalProperties: false },
);

export type CreateSnapshotBody = Static<typeof CreateSnapshotBody>;

/** A yes or no in a query, where everything is text. */
const answers = ["true", "false"] as const;

export const CreateSnapshotQuery = Type.Object({
  overwrite: Type.Enum([...answers], {
    default: "false",
    description: "Replaces a snapshot of the name. Capsules created from that are not affected.",
  }),
});

export const DeleteSnapshotQuery = Type.Object({
  force: Type.Enum([...answers], {
    default: "false",
    description: "Also when capsules that were created from it are there. They are not affected.",
  }),
});

export const templateTypes = ["base", "snapshot"] as const;

export type TemplateType = (typeof templateTypes)[number];

export const ListTemplatesQuery = Type.Object({
  type: Type.Optional(Type.Enum([...templateTypes], { description: "Only those." })),
});

/** What capsules can be created from: an image, or a snapshot of a capsule. */
export const Template = Type.Object(
  {
    name: Type.String(),
    type: Type.Enum([...templateTypes]),
    vcpus: Type.Optional(Type.Integer({ description: "Of a snapshot: the size that its capsules have." })),
    memory_mb: Type.Optional(Type.Integer({ description: "MiB." })),
    disk_size_mb: Type.Optional(Type.Integer({ description: "MiB." })),
    size_bytes: Type.Optional(Type.Integer({ description: "What it takes on its host's disk." })),
    created_at: Type.Optional(Type.String({ format: "date-time" })),
    platform: Type.Boolean({ description: "Whether it is everybody's, and cannot be deleted." }),
  },
  { $id: "Template", title: "Template" },
);

export type Template = Static<typeof Template>;

export const TemplateList = Type.Array(Type.Ref("Template"));
