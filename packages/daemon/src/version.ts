/** Version of this platform, the same for every part that is released together. */
export const wrennVersion = "0.1.0";
