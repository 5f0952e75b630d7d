#!/usr/bin/env node
import { ignoreDebugSignal } from '../util/debugger.ts'
import { hideSecrets } from './output/hidden-secrets.ts'
import { isDebug, reportError, runCommandLine } from './program.ts'

ignoreDebugSignal()

const given = process.argv.slice(2)
const isFromMountHelper = given.some((arg) => arg.startsWith('/dev/fd/'))
const args = isFromMountHelper ? (await import('./mount-helper.ts')).fromMountHelper(given) : given

// With NODE_DEBUG=http Node.js prints the headers of each request, which authenticate.
if (process.env.NODE_DEBUG !== undefined) hideSecrets(process.stderr)
// A reader such as `head` closes the pipe when it has enough. That is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
process.on('uncaughtException', (error) => process.exit(reportError(error, isDebug(args))))

// On Linux, stdout and stderr are written synchronously, so exiting at once loses no output.
process.exit(await runCommandLine(args))
