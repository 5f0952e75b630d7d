import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const PROGRAM = `
import json, os, shutil, sqlite3, sys
open_ = {}
def run(op, *a):
    if op == 'open': open_[a[0]] = sqlite3.connect(a[1], isolation_level=None, timeout=10)
    elif op == 'sql': return open_[a[0]].execute(a[1]).fetchall()
    elif op == 'close': open_.pop(a[0]).close()
    elif op == 'rename': os.rename(*a)
    elif op == 'link': os.link(*a)
    elif op == 'copy': shutil.copyfile(*a)
    elif op == 'mkdir': os.makedirs(a[0], exist_ok=True)
    elif op == 'remove':
        if os.path.isdir(a[0]): shutil.rmtree(a[0])
        elif os.path.exists(a[0]): os.unlink(a[0])
for line in sys.stdin:
    try: answer = {'value': run(*json.loads(line))}
    except Exception as e: answer = {'error': str(e)}
    print(json.dumps(answer), flush=True)
`

/** A process with SQLite connections, which does what it is told and reports errors as they come. */
export class Application {
  readonly #child: ChildProcess
  readonly #waiting: ((line: string) => void)[] = []

  constructor() {
    const child = spawn('python3', ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child = child
    createInterface({ input: child.stdout }).on('line', (line) => this.#waiting.shift()?.(line))
    child.on('exit', () => {
      for (const end of this.#waiting) end('{"error":"the application has ended"}')
    })
  }

  open = (name: string, file: string) => this.#do('open', name, file)
  close = (name: string) => this.#do('close', name)
  rename = (from: string, to: string) => this.#do('rename', from, to)
  copy = (from: string, to: string) => this.#do('copy', from, to)
  mkdir = (path: string) => this.#do('mkdir', path)
  remove = (path: string) => this.#do('remove', path)

  sql(name: string, statement: string): Promise<unknown> {
    return this.#do('sql', name, statement)
  }

  /** The statement's error; undefined if it succeeds. */
  tried(name: string, statement: string): Promise<string | undefined> {
    return errorOf(this.sql(name, statement))
  }

  link(from: string, to: string): Promise<string | undefined> {
    return errorOf(this.#do('link', from, to))
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #do(...order: string[]): Promise<unknown> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve)
      this.#child.stdin?.write(`${JSON.stringify(order)}\n`)
    })
    const { value, error } = JSON.parse(line) as { value?: unknown; error?: string }
    if (error !== undefined) throw new Error(`${order.join(' ')}: ${error}`)
    return value
  }
}

function errorOf(done: Promise<unknown>): Promise<string | undefined> {
  return done.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
}
