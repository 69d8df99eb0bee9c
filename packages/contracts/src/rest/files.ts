import { type Static, Type } from "typebox";

export const ReadFileBody = Type.Object(
  { path: Type.String({ minLength: 1, description: "Absolute, or relative to the default user's home." }) },
  { title: "ReadFile", additionalProperties: false },
);

export type ReadFileBody = Static<typeof ReadFileBody>;

export const ListFilesBody = Type.Object(
  {
    path: Type.String({ minLength: 1 }),
    depth: Type.Integer({
      default: 1,
      minimum: 0,
      maximum: 64,
      description: "Levels below `path`; 0 means 1.",
    }),
  },
  { title: "ListFiles", additionalProperties: false },
);

export type ListFilesBody = Static<typeof ListFilesBody>;

export const FileEntry = Type.Object(
  {
    name: Type.String(),
    path: Type.String(),
    type: Type.Enum(["file", "directory", "symlink", "unknown"]),
    size: Type.Integer({ description: "Bytes." }),
    mode: Type.Integer({ description: "Permission bits." }),
    permissions: Type.String({ description: "As `ls -l` prints them." }),
    owner: Type.String(),
    group: Type.String(),
    modified_at: Type.Integer({ description: "Unix time in seconds." }),
    symlink_target: Type.Optional(Type.String()),
  },
  { title: "FileEntry" },
);

export type FileEntry = Static<typeof FileEntry>;

export const FileList = Type.Object({ entries: Type.Array(FileEntry) }, { title: "FileList" });

export type FileList = Static<typeof FileList>;
