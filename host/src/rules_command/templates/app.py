"""Rules of a Larder. Decisions are pure: no clock (there are ages), no network, no memory of earlier calls.

There is a class for each interface in wit/world.wit, and for no other.
"""

from dataclasses import replace

from wit_world import exports
from wit_world.exports import access as a


class Access(exports.Access):
    """What a token may do; asked once for each token."""

    def admit(self, caller):
        # Pull requests only read.
        event = dict(caller.claims).get("event_name", "")
        writes_to_pull = any(scope.write and scope.name.startswith("refs/pull/") for scope in caller.scopes)
        if event.startswith("pull_request") or writes_to_pull:
            return a.Admission_Scopes([replace(scope, write=False) for scope in caller.scopes])
        return a.Admission_Default()


# The others, once they stand in wit/world.wit:
#
# from wit_world.exports import restore as r, retention as t, save as s
#
#
# class Restore(exports.Restore):
#     """Whether a lookup takes an entry; asked for each that matches, best first."""
#
#     def judge_hit(self, caller, entry):
#         return r.Hit_Accept()
#
#
# class Save(exports.Save):
#     """Whether an entry is saved; asked at the reservation and when all bytes are there."""
#
#     def judge_save(self, caller, key, version, size_kib):
#         return s.Verdict_Default()
#
#
# class Retention(exports.Retention):
#     """What is deleted; asked by the sweep, in pages. As many answers as entries."""
#
#     def group(self, entries):
#         return [None for _ in entries]
#
#     def judge(self, members):
#         return [t.Verdict_Default() for _ in members]
#
#     def rank(self, entries):
#         return [float(entry.idle_s) for entry in entries]
