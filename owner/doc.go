// Package owner turns what a repository says about people into ranked
// suggestions of who should act on some lines of it, each with its evidence.
//
// Two sorts of claims are joined. CODEOWNERS is a human decision: the teams it
// names come first, as role owner. History gives persons: per question every
// human gets seventeen signals (features.go), each the share that the person
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
// They were fitted offline on 544 real fix commits of five repositories (truth:
// who made the fix; predicted at its parent), by maximum likelihood with all
// weights of shares held at or above 0 and an L2 penalty of 0.01. Each share s
// enters as log(1+s/0.05)/log(21), idle time d in days as log(1+d)/5. Fitted
// with one repository left out and judged on it, for each of the five:
//
//	                    first   first three
//	all 544 cases       .559    .829
//	by repository       .46 to .72, .70 to .91
//	blame majority      .42     .51
//	all weights, in the sample they were fitted on  .57  .84
//
// Held out, the mean confidence of the first person was .60 at a rate of .56
// right; confidence (temperature) scales utilities by 0.9 to close that gap.
// By fifths of the cases, held out, confidence against rate right before that
// scaling: .29 .34, .45 .41, .58 .60, .75 .64, .91 .80.
//
// The lift that a person named in CODEOWNERS gets (codeOwnerLift, shared among
// those named) is a decision and not fitted. It holds for rules about some
// paths only: where one repository named its people in a rule for everything,
// being named said nothing more about who makes the next fix (with the lift
// for such rules as well, its first suggestions were right in .57 instead of
// .60).
package owner
