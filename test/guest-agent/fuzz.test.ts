import { defineFuzz } from "./support/fuzz/surfaces.ts";

defineFuzz(5);
