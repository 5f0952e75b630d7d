#!/usr/bin/env node
import { isDebug, reportError, runCommandLine } from './program.ts'

const given = process.argv.slice(2)
const isFromMountHelper = given.some((arg) => arg.startsWith('/dev/fd/'))
const args = isFromMountHelper ? (await import('./mount-helper.ts')).fromMountHelper(given) : given

// `ltxd ltx dump … | head` closes the pipe when it has seen enough: no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
process.on('uncaughtException', (error) => process.exit(reportError(error, isDebug(args))))

// stdout and stderr are written synchronously on Linux: nothing is lost by leaving at once.
process.exit(await runCommandLine(args))
