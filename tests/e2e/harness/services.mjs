// The servers beside the server under test, which a script started (tests/scripts/with-services.sh).

/** What the script says of a service in this variable of the environment. */
export function told(variable) {
  const value = process.env[variable]
  if (!value) throw new Error(`${variable} is not set: run this beside its service (tests/scripts/matrix.sh)`)
  return value
}
