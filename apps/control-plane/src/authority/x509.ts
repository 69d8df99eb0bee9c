/** The library's dependency injection asks for this polyfill, before it is loaded. */
import "reflect-metadata";

export * from "@peculiar/x509";
