-- Two events of each.
function transform(event)
  local other = copy(event)
  other.new.copy = true
  return event, other
end
