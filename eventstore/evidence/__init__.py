"""Evidence that the log was not altered: seals over blocks of final events, verification, proofs."""

from eventstore.evidence.canonical import Head
from eventstore.evidence.proof import CheckedProof, check_proof, prove
from eventstore.evidence.sealer import SealResult, seal
from eventstore.evidence.verification import Finding, Verification, verify

__all__ = [
    "CheckedProof",
    "Finding",
    "Head",
    "SealResult",
    "Verification",
    "check_proof",
    "prove",
    "seal",
    "verify",
]
