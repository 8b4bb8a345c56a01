#!/bin/bash
# The machines are right, by spin, on all states of models around their own tables: breakers of rules, modes, recovery
# chains, the kernel's breaker. And the models tell what is wrong: each of the broken entries and rules would be a fault.
set -euo pipefail
command -v spin >/dev/null || {
	echo "spin is not installed"
	exit 77
}
printf '%s\n' chain rules breaker modes | xargs -P "$(nproc)" -n 1 tests/model/check.sh || exit 1
status=0

# modes.pml has the rule that the most severe mode wins in its own words; here is where the code has it
while IFS='|' read -r file text; do
	grep -qF -- "$text" "$file" && continue
	echo "$file does not say '$text' any more: is tests/model/modes.pml still right?"
	status=1
done <<-'END'
	user/policy/engine.c|memset(e->modes, 0, e->policy->n_domains * sizeof(*e->modes));
	user/policy/engine.c|rule->actions.list[k].index > e->modes[rule->domain_index])
	user/policy/engine.c|e->modes[rule->domain_index] = rule->actions.list[k].index;
	user/rules/rules.c|uint32_t held = wv_recover_mode(agent->policy, d);
	user/rules/rules.c|if (held > mode)
	user/recover/take.c|for (uint32_t m = mode + 1; m < p->n_modes; m++)
END

# One broken thing; what is not found is told.
broken() { # MODEL FLAG... -- WHAT
	local model=$1 flags=() log
	shift
	while [ "$1" != -- ]; do
		flags+=("-DBREAK_$1")
		shift
	done
	shift
	log=$(tests/model/check.sh "$model" "${flags[@]}" 2>&1) || {
		grep -q FAILS <<<"$log" && return
		echo "no answer for $model ${flags[*]}: $log"
		return 1
	}
	echo "not found: $model ${flags[*]}: $*"
	return 1
}
export -f broken

# MODEL, what replaces an entry of its table or names a rule around it, and what is wrong with that
xargs -P "$(nproc)" -d '\n' -n 1 bash -c 'read -ra words <<<"$1" && broken "${words[@]}"' _ <<-'END' || status=1
	rules STATE=CLOSED EVENT=UNKNOWN NEXT=OPEN TIMER=STOP -- unknown trips
	rules STATE=CLOSED EVENT=TRUE NEXT=OPEN TIMER=STOP -- trips without waiting
	rules STATE=PENDING EVENT=UNKNOWN NEXT=PENDING TIMER=KEEP -- unknown counts as held
	rules STATE=PENDING EVENT=FALSE NEXT=PENDING TIMER=KEEP -- a break is not seen
	rules STATE=OPEN EVENT=CLEAR_UNKNOWN NEXT=OPEN TIMER=KEEP -- unknown counts as clear
	rules STATE=OPEN EVENT=CLEAR_TRUE NEXT=OPEN TIMER=RESTART -- never leaves
	rules STATE=OPEN EVENT=TRUE NEXT=OPEN TIMER=KEEP -- clears while the condition holds
	rules STATE=OPEN EVENT=ELAPSED NEXT=CLOSED TIMER=STOP -- no trial
	rules STATE=HALF_OPEN EVENT=TRUE NEXT=HALF_OPEN TIMER=KEEP -- does not trip again
	rules STATE=HALF_OPEN EVENT=UNKNOWN NEXT=HALF_OPEN TIMER=KEEP -- closes on what is not known
	rules STATE=HALF_OPEN EVENT=ELAPSED NEXT=HALF_OPEN TIMER=KEEP -- no exit
	modes STATE=OPEN EVENT=CLEAR_TRUE NEXT=OPEN TIMER=RESTART -- a mode for ever
	modes MAX -- the last rule wins
	modes HOLD -- a chain is not asked
	modes RESET -- a mode outlives its rule
	modes WITHHELD -- a rule that must not act asks
	modes LIFT -- a rule that is over asks
	chain STATE=HELD EVENT=NEED NEXT=CHOOSING ACTION=CHOOSE -- acts while it is held
	chain STATE=HELD EVENT=DUE NEXT=STATE_N ACTION=NONE -- held for ever
	chain STATE=HELD EVENT=FREE NEXT=PAUSED ACTION=PAUSE -- takes a step that was not chosen
	chain STATE=PAUSED EVENT=DUE NEXT=ACTING ACTION=NONE -- acts without an intent
	chain STATE=PAUSED EVENT=DUE NEXT=VERIFYING ACTION=WATCH -- a step is not taken
	chain STATE=PAUSED EVENT=WELL NEXT=PAUSED ACTION=NONE -- a harder step although all is well
	chain STATE=ACTING EVENT=DONE NEXT=VERIFYING ACTION=NONE -- no time for the domain
	chain STATE=ACTING EVENT=DISARM NEXT=IDLE ACTION=END -- forgets what is under way
	chain STATE=VERIFYING EVENT=DUE NEXT=COOLING ACTION=COOL -- done without being told
	chain STATE=VERIFYING EVENT=DUE NEXT=HELD ACTION=BEGIN -- goes back
	chain STATE=COOLING EVENT=NEED NEXT=HELD ACTION=BEGIN -- goes back when it is needed again
	chain STATE=COOLING EVENT=NEED NEXT=SPENT ACTION=GIVE_UP -- gives up with steps left
	chain STATE=CHOOSING EVENT=LAST NEXT=STATE_N ACTION=NONE -- no exit
	chain STATE=SPENT EVENT=DUE NEXT=STATE_N ACTION=NONE -- spent for ever
	chain BUDGET -- does not look at the restart budget
	chain INTENT -- acts before the intent is durable
	chain HELD -- does not look at what comes before
	chain SWITCH -- does not look at the kill switch
	breaker PHASE=CLOSED CAUSE=OVER NEXT=CLOSED -- never trips
	breaker PHASE=OPEN CAUSE=TIMEOUT NEXT=OPEN -- never leaves
	breaker PHASE=OPEN CAUSE=TIMEOUT NEXT=CLOSED -- no probes
	breaker PHASE=OPEN CAUSE=OVER NEXT=HALF_OPEN -- opens to whoever insists
	breaker PHASE=HALF_OPEN CAUSE=OVER NEXT=HALF_OPEN -- does not trip again
	breaker PHASE=HALF_OPEN CAUSE=TIMEOUT NEXT=OPEN -- never closes
	breaker OPEN -- admits while it is open
	breaker PROBES -- one probe too many
	breaker LIMIT -- admits more than the limit
	breaker TRIP -- trips at the limit
	breaker TIME -- is not open for long enough
	breaker USED -- a phase begins with what another one used
END
exit $status
