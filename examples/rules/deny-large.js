// Nothing above 2 GiB is saved. A client learns of it when it says the size, at the latest when all is there.
const MOST_KIB = 2 * 1024 * 1024;

export const save = {
  judgeSave: (caller, key, version, sizeKib) =>
    sizeKib > MOST_KIB
      ? { tag: 'refuse', val: `${Math.ceil(sizeKib / 1024)} MiB are more than the ${MOST_KIB / 1024} allowed` }
      : { tag: 'default' },
};
