// How much of what is repeated: a little under `make test`, much under `make stress`, which sets LARDER_STRESS=long.

/** Whether this is the long form. */
export const LONG = process.env.LARDER_STRESS === 'long'

/** How often something is done. */
export const rounds = ({ short, long }) => (LONG ? long : short)
