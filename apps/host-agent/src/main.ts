#!/usr/bin/env node
import { runMain } from "@wrenn/daemon";
import { agentProgram } from "./program.ts";

void runMain(() => agentProgram());
