/** As what a snapshot holds its layers and its base. */
export function ownerOf(id: string): string {
  return `snapshot:${id}`;
}
