// Package owner turns what a repository says about people into ranked
// suggestions of who should act on some lines of it, each with its evidence.
//
// Two sorts of claims are joined. CODEOWNERS is a human decision: the teams it
// names come first, as role owner. History gives persons: per question every
// human gets twenty signals (features.go), each the share that the person
// has in something: the lines asked about, commits to the file, its folder, the
// folders above, files of that type, files that change along with it, and the
// repository lately. A conditional logit model over these shares and over the
// time since the person last did anything ranks persons and gives each a
// probability, so that the confidences of persons sum to at most 1. A person
// who has left thereby falls behind those who now work around the file. Persons
// whom CODEOWNERS names and history does not know take a fixed part.
//
// How long somebody was idle counts up to a week after the repository's last
// commit: where nobody works, nobody left.
//
// Bots never own: a bot's commit counts for the human whom its trailers or its
// committer name, and an account that commits almost only version updates as
// tools write them counts as a bot whatever its name. Commits listed in
// .git-blame-ignore-revs, bulk rewrites and changes of white space are looked
// through. Identities are joined by .mailmap, address and full name.
//
// # Where the weights come from
//
// General weights were fitted offline on 544 real fix commits of five repositories
// (truth: who made the fix; predicted at its parent), by maximum likelihood with
// all weights of shares held at or above 0 and an L2 penalty of 0.01. Each share s
// enters as log(1+s/0.05)/log(21), idle time d in days as log(1+d)/5.
//
// In each repository its own last 400 commits are examples too: who changed these
// lines next, told from the history before. From the general weights on, those
// that explain these commits better are learned, with a pull of 0.01 back to the
// general ones (learn.go). The commit that is asked about and what follows it are
// never among the examples. What each step gives, first and first three right:
//
//	blame majority                                              .42   .51
//	general weights, fitted without the repository              .559  .829
//	the same, and learned from the repository's own commits     .574  .84
//	as it is here (general weights from all five)               .574  .836
//
// The learning does more for knowing when the answer is right: of the 35 % of
// cases with the surest first person, .74 are right by general weights fitted
// without the repository, .80 after learning from its own commits.
//
// The model's probability of the first person becomes a confidence by a map
// (calibration) that was read off these cases: where it says .8 or more, which it
// does in .35 of the cases, .81 are right; the expected calibration error over
// tenths is .041. The map is of all five repositories together, and no single one
// is like it: where it says .8 or more, from .57 (openfga) to .95
// (govuk-infrastructure) are right. What people answer shows how it is elsewhere.
//
// The lift that a person named in CODEOWNERS gets (codeOwnerLift, shared among
// those named) is a decision and not fitted. It holds for rules about some
// paths only: where one repository named its people in a rule for everything,
// being named said nothing more about who makes the next fix (with the lift
// for such rules as well, its first suggestions were right in .57 instead of
// .60).
package owner
