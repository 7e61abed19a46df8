// The servers beside the server under test, which a script started (tests/scripts/with-services.sh).

/** What the script says of a service in this variable of the environment. */
export function told(variable) {
  const value = process.env[variable]
  if (!value) throw new Error(`${variable} is not set: run this beside its service (tests/scripts/matrix.sh)`)
  return value
}

/** Why the cases that need these services cannot run, or false. Under CI a missing one is an error. */
export function missing(...variables) {
  const absent = variables.find((variable) => !process.env[variable])
  if (!absent) return false
  if (process.env.CI) throw new Error(`under CI every service must be there, and ${absent} is not set (see \`make e2e\`)`)
  return `${absent} is not set: run this beside its service (tests/scripts/with-services.sh)`
}
