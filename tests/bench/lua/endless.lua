-- Until it is stopped.
function transform(event)
  while true do end
end
