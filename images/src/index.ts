export { type BuildImagesOptions, ensureImages, type ImagePaths } from "./ensure-images.ts";
export type { ImageManifest } from "./minimal-image.ts";
